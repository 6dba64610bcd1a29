"""
What pages say and draw, without any page.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from orchestrator.console.hints import hint
from orchestrator.console.sentences import describe
from orchestrator.console.sparks import spark
from orchestrator.console.tree import Difference, compare, grow
from orchestrator.console.waterfall import draw
from orchestrator.domain.values import Reason, TaskState
from orchestrator.queries.aside import Aside
from orchestrator.queries.diagnose import Level
from orchestrator.queries.measure import WorkerMeasures
from orchestrator.queries.overview import WorkerState
from orchestrator.queries.tasks import EventView, TaskView

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
ID = UUID(int=1)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def task(**fields: Any) -> TaskView:
    values: dict[str, Any] = {
        "id": ID,
        "job_id": ID,
        "worker": "alpha",
        "state": TaskState.ENQUEUED,
        "reason": None,
        "message": None,
        "attempt": 1,
        "options": {},
        "losses": 0,
        "holder": None,
        "late": False,
        "enqueued_at": NOW,
        "queued_at": NOW,
        "not_before": None,
        "published_at": None,
        "started_at": None,
        "ended_at": None,
        "analyses": (),
        **fields,
    }
    return TaskView(**values)


def spans(view: TaskView, *events: EventView) -> list[tuple[str, float, float]]:
    (lane,) = draw([view], {ID: events}, start=NOW, end=at(10))
    return [(part.kind, part.x, part.width) for part in lane.parts]


def test_a_task_is_drawn_from_its_queue_to_its_end():
    view = task(
        state=TaskState.SUCCESS,
        published_at=at(2),
        started_at=at(5),
        ended_at=at(9),
    )

    assert spans(view) == [
        ("queued", 0, 200),
        ("delivered", 200, 300),
        ("success", 500, 400),
    ]


def test_a_lost_attempt_leaves_what_was_before_and_what_it_waits():
    lost = EventView(
        kind="lost",
        attempt=1,
        reason="worker_lost",
        actor=None,
        message=None,
        created_at=at(4),
    )
    view = task(attempt=2, losses=1, queued_at=at(4), not_before=at(6))

    assert spans(view, lost) == [
        ("earlier", 0, 400),
        ("backoff", 400, 200),
        ("queued", 600, 400),
        ("event", 400, 2),
    ]
    (lane,) = draw([view], {ID: [lost]}, start=NOW, end=at(10))
    assert lane.words == (
        "earlier attempts 4.00 s, waited to be tried again 2.00 s, queued 4.00 s,"
        " attempt 1 lost (worker_lost)"
    )


def test_a_job_that_took_no_time_is_drawn_all_the_same():
    view = task(state=TaskState.CANCELLED, reason=Reason.CANCELLED, ended_at=NOW)

    (lane,) = draw([view], {}, start=NOW, end=NOW)

    assert (lane.parts, lane.words) == ((), "no time at all")


def worker(**fields: Any) -> WorkerState:
    values: dict[str, Any] = {
        "short_name": "alpha",
        "is_paused": False,
        "replicas": 1,
        "slots": 2,
        "window": 4,
        "backlog": 0,
        "published": 0,
        "executing": 0,
        "oldest_enqueued_at": None,
        "poisoned": 0,
        "aside": (),
    }
    state: dict[str, Any] = {"version": "1", "nobody_home_since": None, "lost": {}}
    for name, value in fields.items():
        (values if name in values else state)[name] = value
    return WorkerState(measures=WorkerMeasures(**values), **state)


AWAY = Aside(replica="alpha-1@host", why="the store is away", since=at(-30))


@pytest.mark.parametrize(
    ("fields", "word", "level", "sentence"),
    [
        ({}, "idle", Level.OK, "nothing to do"),
        ({"executing": 2, "published": 2}, "running", Level.OK, "2 run, nothing waits"),
        (
            {"is_paused": True, "backlog": 1200},
            "paused",
            Level.WARN,
            "it takes nothing; 1,200 wait",
        ),
        (
            {"replicas": 0, "backlog": 3, "nobody_home_since": at(-300)},
            "nobody home",
            Level.FAIL,
            "no replica since 5 min; 3 wait",
        ),
        (
            {"replicas": 0, "version": None},
            "never ran",
            Level.WARN,
            "no replica of it has ever run; nothing waits",
        ),
        (
            {"published": 4, "executing": 2, "backlog": 9},
            "window full",
            Level.OK,
            "its window of 4 is full: 2 run, 9 wait",
        ),
        (
            {"aside": (AWAY,)},
            "aside",
            Level.FAIL,
            "every replica stands aside; nothing waits",
        ),
    ],
)
def test_each_state_of_a_worker_has_its_word_and_sentence(
    fields: dict[str, Any], word: str, level: Level, sentence: str
):
    first = describe(worker(**fields), now=NOW)[0]

    assert (first.word, first.level, first.sentence) == (word, level, sentence)


def test_what_is_wrong_besides_is_said_too():
    state = worker(
        replicas=2, aside=(AWAY,), lost={"crashed": 2, "worker_lost": 1}, poisoned=4
    )

    said = [each.sentence for each in describe(state, now=NOW)[1:]]

    assert said == [
        "alpha-1@host stepped aside 30.00 s ago: the store is away",
        "3 attempts in 10 min (2 crashed, 1 worker_lost)",
        "4 samples are kept from it, which died of them",
    ]


def test_what_differs_is_named_by_its_path():
    before = {"a": [1, 2], "same": {"x": None}, "gone": "y"}
    after = {"a": [1, 3, True], "same": {"x": None}, "new": {}}

    assert compare(before, after) == [
        Difference("a[1]", "2", "3"),
        Difference("gone", "y", None),
        Difference("a[2]", None, "true"),
        Difference("new", None, "{}"),
    ]
    assert compare(1, 2) == [Difference("(all)", "1", "2")]


def test_a_large_result_is_a_small_tree_that_says_what_is_left_out():
    wide = grow({str(number): number for number in range(5_000)})
    deep: Any = 1
    for _ in range(100):
        deep = [deep]

    assert wide.left_out == 5_000 - len(wide.children) > 3_000
    branch, depth = grow(deep), 0
    while branch.children:
        branch, depth = branch.children[0], depth + 1
    assert (depth, branch.left_out) == (24, 1)


def test_a_line_goes_from_the_first_minute_to_the_last():
    drawn = spark([0, 5, 10], unit="a minute")

    assert drawn is not None
    assert drawn.line == "M0.0 32.0L120.0 17.0L240.0 2.0"
    assert drawn.words == "last 3 minutes: 0 to 10 a minute, now 10"
    assert spark([1], unit="a minute") is None


def test_a_request_is_written_as_a_shell_reads_it():
    body = {"name": "it's"}

    assert hint("assay x", "POST", "/x", body).curl == (
        'curl -sS -H "Argus-API-Key: $ASSAY_API_KEY" --json'
        """ '{"name": "it'"'"'s"}' "$ASSAY_API_URL/sampledb/v2/x\""""
    )
    assert "-X PUT" in hint("assay x", "PUT", "/x").curl
    assert "-X" not in hint("assay x", "GET", "/x").curl
