"""Who is whose parent, what is used again, and what is left when somebody dies."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest

from tests.fixtures.sandboxes import (
    ANALYZERS,
    descendants,
    is_alive,
    planned_run,
    run,
    sandbox,
    wait_until,
)
from workers.analysis import JSON
from workers.sandbox.inside.confinement import MAX_PROCESSES, protect_process
from workers.sandbox.inside.processes import children_of
from workers.sandbox.sandbox import (
    RUNS_PER_CHILD,
    Crashed,
    Finished,
    Outcome,
    Raised,
    Run,
    Sandbox,
    SandboxError,
    TimedOut,
)

SANDBOXES = ANALYZERS.with_name("sandboxes.py")
#: They count as processes.
_MANY_THREADS = f"""
import os, sys, threading
os.setuid(int(sys.argv[1]))
for _ in range({MAX_PROCESSES}):
    threading.Thread(target=threading.Event().wait).start()
print(flush=True)
"""


@pytest.fixture(name="sandbox")
def sandbox_of_behaviours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sandbox]:
    monkeypatch.syspath_prepend(ANALYZERS)
    with sandbox("sandbox_behaviours", "behave", tmp_path / "scratch") as started:
        yield started


@pytest.fixture
def reusing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    monkeypatch.syspath_prepend(ANALYZERS)
    scratch = tmp_path / "scratch"
    with sandbox("sandbox_behaviours", "behave", scratch, reuse_child=True) as started:
        yield started


def _template() -> int:
    (pid,) = [
        child
        for child in children_of([os.getpid()])
        if b"workers.sandbox.inside.template"
        in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    return pid


def _result(outcome: Outcome) -> dict[str, JSON]:
    assert isinstance(outcome, Finished), outcome
    result: dict[str, JSON] = outcome.analysis["result"]
    return result


def _fine(sandbox: Sandbox, customer: str | None = None) -> int:
    pid: int = _result(run(sandbox, planned_run(do="fine", customer=customer)))["pid"]
    return pid


def _zygote() -> int:
    """Of the one slot that has worked."""
    (pid,) = children_of([_template()])
    return pid


@contextmanager
def _running(sandbox: Sandbox, planned: Run) -> Iterator[list[Outcome]]:
    """Run a job in a thread while the block does something to it."""
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(run(sandbox, planned)))
    thread.start()
    try:
        yield outcomes
    finally:
        thread.join(60)


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _read(path: Path) -> Callable[[], str]:
    return lambda: path.read_text() if path.exists() else ""


def test_each_analysis_has_a_child_of_its_own_from_one_zygote(sandbox):
    _fine(sandbox)
    zygote = _zygote()

    pids = [_fine(sandbox) for _ in range(20)]

    assert len(set(pids)) == 20
    assert _zygote() == zygote
    assert descendants(zygote) == set()
    for pid in (zygote, _template()):
        assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1


def test_fifty_samples_of_one_customer_may_take_one_child(reusing):
    pids = {_fine(reusing, "a") for _ in range(50)}

    assert len(pids) == 1
    assert children_of([_zygote()]) == pids


def test_customers_share_no_child(reusing):
    pids = [_fine(reusing, customer) for customer in ("a", "b", "b", "a", None, None)]

    assert pids[1] == pids[2]
    assert len({*pids}) == 5


def test_an_analysis_costs_a_fraction_of_an_interpreter(sandbox):
    begun = monotonic()
    subprocess.run([sys.executable, "-c", "import workers"], check=True)
    interpreter = monotonic() - begun
    _fine(sandbox)

    begun = monotonic()
    for _ in range(20):
        _fine(sandbox)
    analysis = (monotonic() - begun) / 20

    assert analysis < interpreter / 3


def test_a_child_is_replaced_after_its_share_of_analyses(reusing):
    pids = [_fine(reusing, "a") for _ in range(RUNS_PER_CHILD + 1)]

    assert len(set(pids[:-1])) == 1
    assert pids[-1] != pids[0]


@pytest.mark.parametrize(
    "how",
    [{"do": "leaks", "bytes": 600 * 1024**2}, {"do": "leaves_a_thread"}],
    ids=["memory", "a thread"],
)
def test_a_child_that_keeps_something_is_not_used_again(reusing, how):
    first = _result(run(reusing, planned_run(customer="a", **how)))["pid"]

    assert not is_alive(first)
    assert _fine(reusing, "a") != first


@pytest.mark.parametrize(
    "how",
    [
        "exits",
        "kills_itself",
        "hangs_up",
        "says_no_memory",
        "raises",
        "unsupported",
        "returns_a_string",
    ],
)
def test_a_death_in_a_used_child_is_tried_again_in_a_fresh_one(reusing, how):
    """And any other failure: only an analysis counts at once."""
    spoilt = _result(run(reusing, planned_run(customer="a", do="spoils", next=how)))

    assert _fine(reusing, "a") != spoilt["pid"]


def test_a_timeout_in_a_used_child_is_tried_again_in_a_fresh_one(reusing):
    """What one sample prepared must not call the next one slow."""
    spoilt = _result(run(reusing, planned_run(customer="a", do="spoils", next="hangs")))

    fine = run(reusing, planned_run(5.0, customer="a", do="fine"))

    assert _result(fine)["pid"] != spoilt["pid"]


def test_both_tries_have_the_run_time_of_one(reusing):
    _fine(reusing, "a")
    begun = monotonic()

    outcome = run(reusing, planned_run(2.0, customer="a", do="hangs"))

    assert isinstance(outcome, TimedOut)
    assert "a_loop_with_a_name_to_find" in outcome.message
    assert 2.0 <= monotonic() - begun < 3.0


def test_a_death_in_a_fresh_child_counts(reusing):
    _fine(reusing, "a")

    assert isinstance(run(reusing, planned_run(customer="a", do="exits")), Crashed)


def test_a_busy_child_costs_the_next_sample_no_time(reusing):
    busy = run(reusing, planned_run(customer="a", do="answers_and_stays_busy"))
    assert isinstance(busy, Raised)
    told: list[float] = []

    def deliver(target: Path, deadline: float) -> None:
        target.touch()
        told.append(deadline)

    planned = planned_run(2.0, customer="a", do="fine")
    asked = monotonic()
    pid = _result(run(reusing, replace(planned, deliver=deliver)))["pid"]

    assert str(pid) != busy.message
    assert told[0] > asked + 2.0


def test_a_kept_child_stands_still_where_nobody_asks_it(reusing):
    """Else what one analysis began would go on at everybody's cost."""
    pid = _result(run(reusing, planned_run(customer="a", do="works_on")))["pid"]

    reusing.rest()

    wait_until(lambda: _state(pid) == "T")
    seen = monotonic()
    before = _cpu_ticks(pid)
    wait_until(lambda: monotonic() > seen + 0.3)

    assert is_alive(pid)
    assert _cpu_ticks(pid) == before


def test_a_delivery_that_takes_all_the_time_is_no_fault_of_the_sandbox(sandbox):
    def deliver(target: Path, deadline: float) -> None:
        wait_until(lambda: monotonic() > deadline)
        target.touch()

    planned = replace(planned_run(0.1, do="fine"), deliver=deliver)

    assert isinstance(run(sandbox, planned), TimedOut)


def test_a_process_left_behind_is_dead_when_the_outcome_is_there(sandbox):
    result = _result(run(sandbox, planned_run(do="leaves_a_daemon")))

    assert not is_alive(result["daemon"])
    assert not is_alive(result["pid"])


def test_no_process_escapes_a_storm_of_forks(sandbox):
    """They double while they are killed, and each leaves its session and its parent."""
    outcome = run(sandbox, planned_run(do="forks_without_end"))

    assert isinstance(outcome, Finished), outcome
    assert descendants(_template()) == {_zygote()}


def test_a_timeout_kills_processes_that_left_the_session(sandbox, tmp_path):
    note = tmp_path / "scratch" / "0" / "work" / "daemon"

    with _running(sandbox, planned_run(1.0, do="daemon_and_hangs")) as outcomes:
        wait_until(_read(note))
        daemon = int(note.read_text())
        assert is_alive(daemon)

    assert isinstance(outcomes[0], TimedOut)
    assert not is_alive(daemon)


def test_a_crash_leaves_no_process_that_left_the_session(sandbox):
    outcome = run(sandbox, planned_run(do="daemon_and_dies"))

    assert isinstance(outcome, Crashed)
    assert descendants(_template()) == {_zygote()}


def test_nothing_of_one_analysis_is_there_for_the_next(reusing):
    kept = _fine(reusing, "a")
    left = run(reusing, planned_run(do="leaves_files", customer="a"))
    result = _result(run(reusing, planned_run(do="lists_files", customer="a")))

    assert _result(left)["pid"] == kept
    assert result["pid"] != kept, "one that leaves something is not kept"
    assert result["found"] == []


def test_a_kept_child_leaves_nothing_to_another_customer(reusing):
    """Not even what it writes, where it is woken, when the slot has been cleaned."""
    planted = _result(run(reusing, planned_run(do="plants_when_cleaned", customer="a")))
    os.kill(planted["pid"], signal.SIGCONT)
    wait_until(Path(planted["work"], "loot").exists)

    result = _result(run(reusing, planned_run(do="lists_files", customer="b")))

    assert result["found"] == []


def test_what_is_buried_in_one_slot_leaves_the_other_alone(sandbox, tmp_path):
    """Without root both have the same user, whose processes a zygote would all kill."""
    with _running(sandbox, planned_run(2.0, do="hangs")) as outcomes:
        wait_until((tmp_path / "scratch" / "0" / "work" / "begun").exists)
        for _ in range(5):
            _result(run(sandbox, planned_run(do="leaves_a_daemon"), slot=1))

    assert isinstance(outcomes[0], TimedOut)


def test_an_analysis_can_end_nobody_else(sandbox):
    _fine(sandbox)
    zygote = _zygote()
    with subprocess.Popen(["sleep", "60"]) as other:
        pids = [other.pid, os.getpid()]

        _result(run(sandbox, planned_run(do="kills_others", pids=pids)))

        assert is_alive(other.pid)
        other.kill()
    _fine(sandbox)
    assert _zygote() == zygote


def test_folders_that_cannot_be_read_do_not_spoil_a_slot(sandbox):
    """Their owner may write to them and not list them: nor may we, without root."""
    for _ in range(2):
        run(sandbox, planned_run(do="leaves_folders_that_cannot_be_read"))

        found = _result(run(sandbox, planned_run(do="lists_files")))["found"]

        assert found == []


def test_many_files_that_are_left_hold_up_nobody(sandbox, tmp_path):
    """They are out of the way at once, and gone before as many more are."""
    scratch = tmp_path / "scratch"
    _fine(sandbox)
    spoilt = (scratch / "0").stat().st_ino

    run(sandbox, planned_run(do="leaves_many_files", count=20_000))
    fresh = (scratch / "0").stat().st_ino
    found = _result(run(sandbox, planned_run(do="lists_files")))["found"]
    again = run(sandbox, planned_run(do="leaves_many_files", count=5_000))
    files = sum(len(names) for _, _, names in os.walk(scratch))

    assert found == []
    assert isinstance(again, Finished)
    assert files < 10_000
    # Not emptied where it stood: another stands there.
    assert fresh != spoilt
    wait_until(lambda: not (scratch / "0.old").exists())


def test_many_files_of_a_used_child_take_no_sample_along(reusing):
    spoils = planned_run(customer="a", do="spoils", next="leaves_many_files_and_dies")
    spoilt = _result(run(reusing, spoils))
    while reusing._slots[0].child is None:
        # A busy machine may keep none.
        spoilt = _result(run(reusing, spoils))
    delivered: list[float] = []

    def deliver(target: Path, deadline: float) -> None:
        target.touch()
        delivered.append(deadline)

    # A used child has a tenth of it, which is to be enough for all those files.
    planned = replace(planned_run(600, customer="a", do="fine"), deliver=deliver)
    fine = _result(run(reusing, planned))

    assert fine["pid"] != spoilt["pid"]
    assert delivered[0] == delivered[1]


@pytest.mark.parametrize("gone", ["", "0", "0/work", "0.taken"])
def test_a_folder_that_vanished_is_made_anew_with_a_new_zygote(sandbox, tmp_path, gone):
    _fine(sandbox)
    zygote = _zygote()
    shutil.rmtree(tmp_path / "scratch" / gone)

    found = _result(run(sandbox, planned_run(do="lists_files")))

    assert found["found"] == []
    assert _zygote() != zygote
    assert (tmp_path / "scratch").stat().st_mode & 0o777 == 0o711


def test_a_folder_in_anothers_place_is_not_taken_for_its_own(sandbox, tmp_path):
    _fine(sandbox)
    work = tmp_path / "scratch" / "0" / "work"
    work.rename(tmp_path / "kept")
    work.mkdir(mode=0o777)
    (work / "planted").touch()

    assert _result(run(sandbox, planned_run(do="lists_files")))["found"] == []


def test_a_folder_that_cannot_be_made_is_no_ones_crash(sandbox, tmp_path):
    _fine(sandbox)
    shutil.rmtree(tmp_path / "scratch")
    (tmp_path / "scratch").touch()

    with pytest.raises(OSError, match="scratch"):
        run(sandbox, planned_run(do="fine"))

    (tmp_path / "scratch").unlink()
    _fine(sandbox)


def test_the_end_of_an_orphan_sends_the_zygote_no_signal_of_its_choice(sandbox):
    _fine(sandbox)
    zygote = _zygote()

    outcome = run(sandbox, planned_run(do="dies_with_a_signal_for_its_parent"))

    assert isinstance(outcome, Crashed)
    assert "exit code 7" in outcome.message
    _fine(sandbox)
    assert _zygote() == zygote


def test_a_sample_is_gone_after_its_analysis(sandbox, tmp_path):
    _fine(sandbox)

    assert not (tmp_path / "scratch" / "0" / "sample").exists()


def test_temporary_files_go_into_the_scratch(sandbox, tmp_path):
    result = _result(run(sandbox, planned_run(do="fine")))

    assert result["temporary"] == str(tmp_path / "scratch" / "0" / "work")


def test_a_child_that_is_killed_between_analyses_is_replaced(reusing):
    first = _fine(reusing, "a")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not is_alive(first))

    assert _fine(reusing, "a") != first


def test_a_zygote_that_is_killed_between_analyses_is_replaced(sandbox):
    _fine(sandbox)
    zygote = _zygote()
    os.kill(zygote, signal.SIGKILL)
    wait_until(lambda: not is_alive(zygote))

    _fine(sandbox)

    assert _zygote() != zygote


def test_a_zygote_that_is_killed_before_its_child_was_asked_costs_nothing(sandbox):
    def deliver(target: Path, _: float) -> None:
        (child,) = children_of([_zygote()])
        os.kill(_zygote(), signal.SIGKILL)
        wait_until(lambda: not is_alive(child))
        target.touch()

    outcome = run(sandbox, replace(planned_run(do="fine"), deliver=deliver))

    assert isinstance(outcome, Finished), outcome


needs_users = pytest.mark.skipif(
    os.geteuid() != 0, reason="processes are counted where a slot has a user"
)


@needs_users
def test_a_zygote_that_cannot_fork_is_replaced(sandbox):
    """What takes all the processes of its user ends with it."""
    uid = _result(run(sandbox, planned_run(do="fine")))["uid"]
    zygote = _zygote()
    with subprocess.Popen(
        [sys.executable, "-c", _MANY_THREADS, str(uid)], stdout=subprocess.PIPE
    ) as crowd:
        try:
            assert crowd.stdout is not None
            assert crowd.stdout.read(1)

            _fine(sandbox)
        finally:
            crowd.kill()

    assert _zygote() != zygote


@needs_users
def test_a_second_zygote_that_cannot_fork_is_the_replicas_trouble(sandbox):
    resource.prlimit(_template(), resource.RLIMIT_NPROC, (0, 0))

    with pytest.raises(SandboxError, match="no zygote gives a child"):
        run(sandbox, planned_run(do="fine"))


def test_a_child_that_is_killed_is_a_crash(sandbox, tmp_path):
    with _running(sandbox, planned_run(do="hangs")) as outcomes:
        wait_until((tmp_path / "scratch" / "0" / "work" / "begun").exists)
        (child,) = children_of([_zygote()])
        os.kill(child, signal.SIGKILL)

    assert isinstance(outcomes[0], Crashed)
    assert "SIGKILL" in outcomes[0].message


def test_a_zygote_that_is_killed_is_a_crash_and_another_takes_over(sandbox, tmp_path):
    with _running(sandbox, planned_run(do="hangs")) as outcomes:
        wait_until((tmp_path / "scratch" / "0" / "work" / "begun").exists)
        first = _zygote()
        os.kill(first, signal.SIGKILL)

    assert isinstance(outcomes[0], Crashed)
    assert "zygote" in outcomes[0].message
    _fine(sandbox)
    assert _zygote() != first


def test_a_template_that_is_killed_is_a_crash_and_another_takes_over(sandbox, tmp_path):
    first = _template()

    with _running(sandbox, planned_run(do="hangs")) as outcomes:
        wait_until((tmp_path / "scratch" / "0" / "work" / "begun").exists)
        os.kill(first, signal.SIGKILL)

    assert isinstance(outcomes[0], Crashed)
    assert "template" in outcomes[0].message
    _fine(sandbox)
    assert _template() != first


def test_a_killed_template_leaves_no_process_that_left_the_session(sandbox, tmp_path):
    protect_process()
    note = tmp_path / "scratch" / "0" / "work" / "daemon"

    with _running(sandbox, planned_run(do="daemon_and_hangs")):
        wait_until(_read(note))
        daemon = int(note.read_text())
        os.kill(_template(), signal.SIGKILL)
    _fine(sandbox)

    assert not is_alive(daemon)


def test_nothing_is_left_after_close(sandbox, tmp_path):
    note = tmp_path / "scratch" / "0" / "work" / "daemon"
    template = _template()

    with _running(sandbox, planned_run(do="daemon_and_hangs")) as outcomes:
        wait_until(_read(note))
        below = descendants(template)
        assert len(below) == 3
        sandbox.close()

    assert isinstance(outcomes[0], Crashed)
    assert not any(map(is_alive, below | {template}))
    assert list((tmp_path / "scratch").iterdir()) == []


def test_closing_twice_is_closing_once_and_then_nothing_runs(sandbox):
    sandbox.close()
    sandbox.close()

    with pytest.raises(SandboxError, match="closed"):
        run(sandbox, planned_run(do="fine"))


def test_the_template_outlives_the_thread_that_started_it(tmp_path, monkeypatch):
    """The kernel's death signal is the thread's, and Celery's threads come and go."""
    monkeypatch.syspath_prepend(ANALYZERS)
    sandbox = Sandbox(
        "sandbox_behaviours",
        analyzer_name="behave",
        slots=1,
        scratch=tmp_path / "scratch",
        network=False,
        memory_bytes=1024**3,
    )
    starter = threading.Thread(target=sandbox.start)
    starter.start()
    starter.join()

    try:
        assert isinstance(_fine(sandbox), int)
    finally:
        sandbox.close()


def test_a_killed_replica_leaves_nothing(tmp_path):
    tmp_path.chmod(0o755)
    note = tmp_path / "scratch" / "0" / "work" / "daemon"
    what = {
        "module": "sandbox_behaviours",
        "analyzer": "behave",
        "scratch": str(tmp_path / "scratch"),
        "runs": [{"do": "daemon_and_hangs"}],
    }
    search = [str(ANALYZERS.parents[2]), *filter(None, sys.path)]
    with subprocess.Popen(
        [sys.executable, str(SANDBOXES), json.dumps(what)],
        env={"PYTHONPATH": os.pathsep.join(search)},
    ) as replica:
        wait_until(_read(note))
        below = descendants(replica.pid)
        assert len(below) == 4, "template, zygote, child, and what that has started"

        replica.kill()

        wait_until(lambda: not any(map(is_alive, below)), 2.0)
