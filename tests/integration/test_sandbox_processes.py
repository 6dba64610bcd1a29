"""Who is whose parent, what is used again, and what is left when somebody dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from workers.sandbox.inside.confinement import protect_process
from workers.sandbox.inside.processes import children_of
from workers.sandbox.sandbox import (
    RUNS_PER_CHILD,
    Crashed,
    Finished,
    Outcome,
    Run,
    Sandbox,
    SandboxError,
    TimedOut,
)

SANDBOXES = ANALYZERS.with_name("sandboxes.py")


@pytest.fixture(name="sandbox")
def sandbox_of_behaviours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sandbox]:
    monkeypatch.syspath_prepend(ANALYZERS)
    with sandbox("sandbox_behaviours", "behave", tmp_path / "scratch") as started:
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


def _fine(sandbox: Sandbox) -> int:
    pid: int = _result(run(sandbox, planned_run(do="fine")))["pid"]
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


def _read(path: Path) -> Callable[[], str]:
    return lambda: path.read_text() if path.exists() else ""


def test_fifty_analyses_take_one_child_of_a_template_with_one_thread(sandbox):
    pids = {_fine(sandbox) for _ in range(50)}

    (child,) = pids
    assert children_of([_template()]) == {child}
    assert len(list(Path(f"/proc/{_template()}/task").iterdir())) == 1


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


def test_a_child_is_replaced_after_its_share_of_analyses(sandbox):
    pids = [_fine(sandbox) for _ in range(RUNS_PER_CHILD + 1)]

    assert len(set(pids[:-1])) == 1
    assert pids[-1] != pids[0]


def test_a_child_that_leaks_is_replaced(sandbox):
    first = _result(run(sandbox, planned_run(do="leaks", bytes=600 * 1024**2)))["pid"]

    assert not is_alive(first)
    assert _fine(sandbox) != first


def test_a_child_that_leaves_a_thread_is_replaced(sandbox):
    first = _result(run(sandbox, planned_run(do="leaves_a_thread")))["pid"]

    assert not is_alive(first)
    assert _fine(sandbox) != first


def test_a_process_left_behind_is_dead_when_the_outcome_is_there(sandbox):
    result = _result(run(sandbox, planned_run(do="leaves_a_daemon")))

    assert not is_alive(result["daemon"])
    assert not is_alive(result["pid"])


def test_a_timeout_kills_processes_that_left_the_session(sandbox, tmp_path):
    note = tmp_path / "scratch" / "0" / "work" / "daemon"

    with _running(sandbox, planned_run(1.0, do="daemon_and_hangs")) as outcomes:
        wait_until(_read(note))
        daemon = int(note.read_text())
        assert is_alive(daemon)

    assert isinstance(outcomes[0], TimedOut)
    assert not is_alive(daemon)


def test_a_crash_leaves_no_process_that_left_the_session(sandbox):
    before = descendants(_template())

    outcome = run(sandbox, planned_run(do="daemon_and_dies"))

    assert isinstance(outcome, Crashed)
    assert descendants(_template()) == before == set()


def test_nothing_of_one_analysis_is_there_for_the_next(sandbox):
    left = run(sandbox, planned_run(do="leaves_files"))
    result = _result(run(sandbox, planned_run(do="lists_files")))

    assert result["pid"] == _result(left)["pid"], "the test wants the same child"
    assert result["found"] == []


def test_a_sample_is_gone_after_its_analysis(sandbox, tmp_path):
    _fine(sandbox)

    assert not (tmp_path / "scratch" / "0" / "sample").exists()


def test_temporary_files_go_into_the_scratch(sandbox, tmp_path):
    result = _result(run(sandbox, planned_run(do="fine")))

    assert result["temporary"] == str(tmp_path / "scratch" / "0" / "work")


def test_a_child_that_is_killed_between_analyses_is_replaced(sandbox):
    first = _fine(sandbox)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not is_alive(first))

    assert _fine(sandbox) != first


def test_a_child_that_is_killed_is_a_crash(sandbox, tmp_path):
    _fine(sandbox)
    (child,) = children_of([_template()])

    with _running(sandbox, planned_run(do="hangs")) as outcomes:
        wait_until((tmp_path / "scratch" / "0" / "work" / "begun").exists)
        os.kill(child, signal.SIGKILL)

    assert isinstance(outcomes[0], Crashed)
    assert "SIGKILL" in outcomes[0].message


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
        assert len(below) == 2
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
        assert len(below) == 3, "a template, a child, and what that has started"

        replica.kill()

        wait_until(lambda: not any(map(is_alive, below)), 2.0)
