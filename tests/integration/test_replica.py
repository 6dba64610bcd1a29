"""One replica process, its real sandbox and a real Redis: what it says of its work."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from orchestrator.contracts.assignment import AssignedSample, Where
from orchestrator.contracts.report import Report
from tests.fixtures.replica import ACTOR, Stage, stage
from tests.fixtures.waiting import eventually

#: The worker of the README, to the letter.
EIGHT_LINES = """
from workers import Analysis, Sample, analyzer

@analyzer("length", version="1", accepts=["*"], run_seconds=10)
def length(sample: Sample) -> Analysis:
    return Analysis(score=-1, result={"bytes": sample.size})
"""

#: Says in which process it ran.
REUSING = """
import os
from workers import Analysis, Sample, analyzer

@analyzer("reusing", version="1", reuse_child=True)
def reusing(sample: Sample) -> Analysis:
    return Analysis(score=-1, result=os.getpid())
"""


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as scene:
        yield scene


@pytest.fixture(scope="module")
def actor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One replica for the tests that leave it as they found it."""
    with stage(tmp_path_factory.mktemp("actor")) as actor:
        actor.run(ACTOR)
        yield actor


@pytest.mark.parametrize("plain", [False, True], ids=["workers run", "celery -A"])
def test_the_smallest_worker_does_its_work_however_it_is_started(scene: Stage, plain):
    replica = scene.run(EIGHT_LINES, plain=plain)

    report = scene.desk.end_of(scene.desk.assign("length", b"hello"))
    code = replica.terminate()

    assert report.kind == "success"
    assert report.analysis is not None
    assert report.analysis.result == {"bytes": 5}
    assert report.replica.startswith("length-")
    assert code == 0


def test_the_first_heartbeat_brings_the_manifest_and_every_one_is_signed(actor: Stage):
    eventually(lambda: len(actor.desk.heartbeats()) >= 3)

    heartbeats = actor.desk.heartbeats()

    assert heartbeats[0].manifest is not None
    assert heartbeats[0].manifest.result_schema == {"type": ["object", "null"]}
    assert [heartbeat.manifest for heartbeat in heartbeats[1:3]] == [None, None]
    assert [heartbeat.sequence for heartbeat in heartbeats[:3]] == [1, 2, 3]
    assert heartbeats[0].worker_version == "7"
    assert heartbeats[0].slots == 2
    letters = [
        letter for letter in actor.desk.letters if letter.content["type"] == "alive"
    ]
    assert all(actor.desk.signed(letter) for letter in letters)


def test_a_short_analysis_says_nothing_before_its_end(actor: Stage):
    assignment = actor.desk.assign("actor", options={"sleep": 0.01})

    actor.desk.end_of(assignment)

    assert [report.kind for report in actor.desk.reports(assignment)] == ["success"]


def test_a_long_analysis_says_first_that_it_is_executing(actor: Stage):
    assignment = actor.desk.assign("actor", options={"sleep": 0.6})

    actor.desk.wait_for_state(assignment, "running")
    actor.desk.end_of(assignment)

    kinds = [report.kind for report in actor.desk.reports(assignment)]
    assert kinds == ["executing", "success"]


@pytest.mark.parametrize(
    ("options", "kind", "reason", "recoverable", "words"),
    [
        ({"fail": "no luck"}, "failed", "error", False, "ValueError: no luck"),
        ({"wish": "later"}, "failed", "error", True, "later"),
        ({"refuse": "not mine"}, "failed", "unsupported", False, "not mine"),
        ({"die": 3}, "failed", "crashed", False, ""),
        ({"give": [1]}, "failed", "bad_result", False, "result: [1] is not of type"),
        ({"give_nul": 1}, "failed", "bad_result", False, "NUL"),
        ({"sleep": 60}, "timed_out", None, False, ""),
    ],
)
def test_each_way_to_end_has_its_report(
    actor: Stage, options, kind, reason, recoverable, words
):
    limit = 0.5 if "sleep" in options else 30.0

    assignment = actor.desk.assign("actor", options=options, timeout_seconds=limit)
    report = actor.desk.end_of(assignment)

    assert (report.kind, report.reason) == (kind, reason)
    assert report.recoverable is recoverable
    assert words in (report.message or "")
    assert report.token == f"token of {assignment.task_id}.1"


def test_a_sample_that_is_not_there_fails_the_task_for_good(actor: Stage):
    sample = AssignedSample(
        sha256="0" * 64, size=1, where=Where(kind="http", value="/internal/none")
    )

    report = actor.desk.end_of(actor.desk.assign("actor", sample=sample))

    assert (report.kind, report.reason, report.recoverable) == (
        "failed",
        "sample_missing",
        False,
    )


def test_files_go_to_the_store_and_are_named_in_the_report(actor: Stage):
    assignment = actor.desk.assign("actor", options={"keep": "child"})

    report = actor.desk.end_of(assignment)

    assert report.analysis is not None
    (reference,) = report.analysis.references
    stored = [
        file for file in actor.store.stored if str(assignment.task_id) in file.path
    ]
    assert [(file.path.rsplit("/", 1)[1], file.content) for file in stored] == [
        ("child", b"child")
    ]
    assert (reference.kind, reference.size) == ("child", 5)


def test_a_result_too_large_for_a_message_goes_to_the_store(actor: Stage):
    assignment = actor.desk.assign("actor", options={"fill": 1_000_000})

    report = actor.desk.end_of(assignment)

    assert report.analysis is not None
    assert report.analysis.result is None
    (reference,) = report.analysis.references
    (stored,) = (file for file in actor.store.stored if file.path.endswith("/result"))
    assert reference.kind == "result"
    assert json.loads(stored.content) == {"text": "x" * 1_000_000}


def test_a_result_of_too_many_bytes_or_values_is_a_bad_one(actor: Stage):
    large = actor.desk.end_of(actor.desk.assign("actor", options={"fill": 2**22}))
    many = actor.desk.end_of(actor.desk.assign("actor", options={"count": 200_000}))

    assert large.reason == many.reason == "bad_result"
    assert "4194304" in (large.message or "")
    assert "200000 values and keys" in (many.message or "")


#: Its schemas meet, in these results, texts and lists that they do not get done with.
NASTY = """
from workers import Analysis, Sample, analyzer

RESULTS = {
    "pattern": {"text": "x" * 60},
    "unique": {"list": [{"n": n} for n in range(20_000)]},
    "loop": {"loop": 1},
    "fine": {"text": "xxy"},
    "wrong": {"text": "y"},
}
SCHEMA = {
    "properties": {
        "text": {"pattern": "^(x+x+)+y$"},
        "list": {"uniqueItems": True},
        "loop": {"$ref": "#/properties/loop"},
    },
}

@analyzer("nasty", version="1", accepts=["*"], schema=SCHEMA)
def nasty(sample: Sample) -> Analysis:
    return Analysis(score=1, result=RESULTS[sample.options["give"]])
"""


def test_heartbeats_go_on_while_a_nasty_result_is_judged(scene: Stage):
    scene.run(NASTY, ASSAY_WORKER_SLOTS="3")
    given = {
        name: scene.desk.assign("nasty", options={"give": name})
        for name in ("pattern", "unique", "loop")
    }
    reports: dict[str, Report] = {}
    count, last, gaps = len(scene.desk.heartbeats()), time.monotonic(), [0.0]
    while len(reports) < len(given):
        time.sleep(0.02)
        now, seen = time.monotonic(), len(scene.desk.heartbeats())
        if seen > count:
            gaps.append(now - last)
            count, last = seen, now
        assert now - last < 30
        for name, assignment in given.items():
            for report in scene.desk.reports(assignment):
                if report.kind != "executing":
                    reports[name] = report

    # One every 0.2 s; the rest is what a busy machine may take. Judged in the replica's
    # own process, there would be none.
    assert max(gaps) < 3
    assert len(gaps) > 10
    assert {report.reason for report in reports.values()} == {"bad_result"}
    assert "within 5 s" in (reports["pattern"].message or "")
    assert "RecursionError" in (reports["loop"].message or "")
    for name, kind in (("fine", "success"), ("wrong", "failed")):
        assignment = scene.desk.assign("nasty", options={"give": name})
        assert scene.desk.end_of(assignment).kind == kind


def test_options_that_do_not_fit_fail_the_task_for_good_and_are_named(scene: Stage):
    source = """
    from pydantic import BaseModel
    from workers import Analysis, Sample, analyzer

    class Options(BaseModel):
        depth: int = 1

    @analyzer("shaped", version="1", options=Options)
    def shaped(sample: Sample[Options]) -> Analysis:
        return Analysis(score=sample.options.depth)
    """
    scene.run(source)
    ordered: tuple[dict[str, Any], ...] = ({"depth": "ten"}, {"depth": "7"}, {})
    given = [scene.desk.assign("shaped", options=options) for options in ordered]

    wrong, *fine = map(scene.desk.end_of, given)

    assert (wrong.kind, wrong.reason, wrong.recoverable) == ("failed", "error", False)
    assert (wrong.message or "").startswith("option depth: Input should be a valid")
    assert "File" not in (wrong.message or "")
    assert [report.analysis and report.analysis.score for report in fine] == [7, 1]


@pytest.mark.parametrize(
    "kwargs",
    [{}, {"assignment": None}, {"assignment": {"version": 9}}, {"something": "else"}],
)
def test_garbage_in_the_queue_is_dropped_and_work_goes_on(actor: Stage, kwargs: Any):
    actor.desk.send("actor", kwargs, f"{uuid4()}.1")

    report = actor.desk.end_of(actor.desk.assign("actor", options={"give": None}))

    assert report.kind == "success"
    eventually(lambda: actor.desk.heartbeats()[-1].holds == ())


def test_a_second_copy_of_an_attempt_is_refused(actor: Stage):
    assignment = actor.desk.assign("actor", options={"sleep": 0.5})
    actor.desk.publish(assignment)
    last = actor.desk.assign("actor", options={"sleep": 0.6})

    actor.desk.end_of(last)

    ends = [r for r in actor.desk.reports(assignment) if r.kind != "executing"]
    assert [report.kind for report in ends] == ["success"]


def test_what_is_to_run_alone_waits_for_others_and_they_for_it(actor: Stage):
    first = actor.desk.assign("actor", options={"sleep": 1.5})
    actor.desk.wait_for_state(first, "running")
    alone = actor.desk.assign("actor", options={"sleep": 1.5}, alone=True)
    waits = actor.desk.wait_for_state(alone, "received")
    actor.desk.end_of(first)
    actor.desk.wait_for_state(alone, "running")
    last = actor.desk.assign("actor", options={"sleep": 0.1})

    ends = [actor.desk.end_of(assignment) for assignment in (first, alone, last)]

    assert first.task_id in {held.task_id for held in waits.holds}
    assert [report.kind for report in ends] == ["success"] * 3
    order = [
        letter.content["task_id"]
        for letter in actor.desk.letters
        if letter.content["type"] == "report" and letter.content["kind"] == "success"
    ]
    assert order[-3:] == [str(item.task_id) for item in (first, alone, last)]


def test_an_analyzer_may_reuse_a_child_for_one_customer(scene: Stage):
    scene.run(REUSING, ASSAY_WORKER_SLOTS="1")
    one, another = uuid4(), uuid4()
    given = [None, None, one, one, another, another, one]

    ends = [
        scene.desk.end_of(scene.desk.assign("reusing", customer=customer))
        for customer in given
    ]

    pids = [str(end.analysis.result) for end in ends if end.analysis]
    assert len(pids) == len(given)
    assert pids[2] == pids[3]
    assert pids[4] == pids[5]
    assert len({*pids}) == len(given) - 2


def test_a_stop_kills_what_runs_and_drops_what_waits(actor: Stage):
    running = [actor.desk.assign("actor", options={"sleep": 60}) for _ in range(2)]
    waiting = actor.desk.assign("actor", options={"sleep": 60})
    for assignment in running:
        actor.desk.wait_for_state(assignment, "running")
    replica = actor.desk.wait_for_state(waiting, "received").replica

    actor.desk.stop(replica, waiting, *running)
    next_one = actor.desk.assign("actor", options={"give": None})

    assert actor.desk.end_of(next_one).kind == "success"
    for assignment in [waiting, *running]:
        kinds = {report.kind for report in actor.desk.reports(assignment)}
        assert kinds <= {"executing"}
    eventually(lambda: actor.desk.heartbeats()[-1].holds == ())


def test_a_replica_that_drains_ends_what_runs_and_stays_until_it_may_work(
    scene: Stage,
):
    scene.run(ACTOR, ASSAY_WORKER_SLOTS="1")
    running = scene.desk.assign("actor", options={"sleep": 1})
    replica = scene.desk.wait_for_state(running, "running").replica
    waiting = scene.desk.assign("actor", options={"give": None})
    scene.desk.wait_for_state(waiting, "received")

    scene.desk.stop(replica, drain=True, secret="of somebody else")
    scene.desk.stop(replica, drain=True)

    assert scene.desk.end_of(waiting).kind == "released"
    assert scene.desk.end_of(running).kind == "success"
    later = scene.desk.assign("actor", options={"give": None})
    eventually(lambda: scene.desk.heartbeats()[-1].draining)
    beats = len(scene.desk.heartbeats())
    eventually(lambda: len(scene.desk.heartbeats()) > beats + 3)
    assert scene.desk.reports(later) == []
    scene.desk.stop(replica, drain=False)
    assert scene.desk.end_of(later).kind == "success"
    eventually(lambda: not scene.desk.heartbeats()[-1].draining)


def test_on_a_signal_to_stop_what_runs_may_end_and_the_rest_is_released(scene: Stage):
    replica = scene.run(ACTOR, ASSAY_STOP_GRACE_SECONDS="1", ASSAY_WORKER_SLOTS="2")
    short = scene.desk.assign("actor", options={"sleep": 0.8})
    long = scene.desk.assign("actor", options={"sleep": 60})
    waiting = [scene.desk.assign("actor", options={"sleep": 60}) for _ in range(2)]
    for assignment in [short, long]:
        scene.desk.wait_for_state(assignment, "running")
    for assignment in waiting:
        scene.desk.wait_for_state(assignment, "received")

    code = replica.terminate()

    ends = {
        assignment.task_id: scene.desk.end_of(assignment).kind
        for assignment in [short, long]
    }
    assert code == 0
    assert ends == {short.task_id: "success", long.task_id: "released"}
    assert {scene.desk.end_of(assignment).kind for assignment in waiting} == {
        "released"
    }
    last = scene.desk.letters[-1].content
    assert (last["type"], last["leaving"]) == ("alive", True)


def test_a_second_signal_ends_the_grace(scene: Stage):
    replica = scene.run(ACTOR, ASSAY_STOP_GRACE_SECONDS="60")
    assignment = scene.desk.assign("actor", options={"sleep": 60})
    scene.desk.wait_for_state(assignment, "running")
    waiting_since = time.monotonic()

    replica.process.terminate()
    eventually(lambda: "shutdown" in replica.log.read_text())
    code = replica.terminate()

    assert code == 0
    assert scene.desk.end_of(assignment).kind == "released"
    assert time.monotonic() - waiting_since < 15


def test_two_interrupts_end_it_at_once_and_release_what_ran(scene: Stage):
    replica = scene.run(ACTOR, ASSAY_STOP_GRACE_SECONDS="60")
    assignment = scene.desk.assign("actor", options={"sleep": 60})
    scene.desk.wait_for_state(assignment, "running")

    replica.process.send_signal(signal.SIGINT)
    eventually(lambda: "shutdown" in replica.log.read_text())
    replica.process.send_signal(signal.SIGINT)
    code = replica.process.wait(15)

    assert code == 0
    assert scene.desk.end_of(assignment).kind == "released"


def test_a_failed_analysis_leaves_no_traceback_in_the_log(actor: Stage):
    actor.desk.end_of(actor.desk.assign("actor", options={"fail": "no luck"}))

    assert "Traceback" not in actor.replicas[0].log.read_text()


def test_a_replica_leaves_no_files_behind(scene: Stage, tmp_path: Path):
    replica = scene.run(ACTOR, TMPDIR=str(tmp_path))
    scene.desk.end_of(scene.desk.assign("actor", options={"keep": "child"}))

    replica.terminate()

    assert list(tmp_path.glob("assay-*")) == []


def test_a_killed_replica_leaves_no_process_behind(scene: Stage):
    replica = scene.run(ACTOR)
    assignment = scene.desk.assign("actor", options={"sleep": 60})
    scene.desk.wait_for_state(assignment, "running")
    children = psutil.Process(replica.process.pid).children(recursive=True)

    replica.kill()

    assert children
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
