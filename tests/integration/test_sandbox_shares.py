"""
What an analysis takes as a whole, where the kernel lets us limit it, and what is said
where it does not.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.sandboxes import ANALYZERS, planned_run, run, sandbox
from workers.sandbox.sandbox import Crashed, Finished, OutOfMemory, Sandbox
from workers.sandbox.shares import NoSharesError, Shares

MEBIBYTE = 1024**2
LIMITS = {"memory.max": 512 * MEBIBYTE, "pids.max": 64}


def _why_not() -> str | None:
    """Return why this process may not divide its cgroup, if it may not."""
    try:
        Shares(LIMITS).close()
    except NoSharesError as error:
        return str(error)
    return None


@pytest.fixture
def divisible() -> None:
    if (why := _why_not()) is not None:
        pytest.skip(why)


@pytest.fixture
def likeness(tmp_path: Path) -> Path:
    """A folder with the files of a cgroup at the top, which keep what is written."""
    folder = tmp_path / "cgroup"
    folder.mkdir()
    (folder / "cgroup.controllers").write_text("cpu memory pids\n")
    return folder


def test_the_kernel_is_told_the_limits_of_each_slot(likeness: Path):
    shares = Shares(LIMITS, own=likeness)

    first, second = shares.add(), shares.add()

    assert (likeness / "cgroup.subtree_control").read_text() == "+memory +pids"
    assert first != second
    told = {name: (first / name).read_text() for name in LIMITS}
    assert told == {"memory.max": str(512 * MEBIBYTE), "pids.max": "64"}


def test_a_controller_that_is_missing_is_named(likeness: Path):
    (likeness / "cgroup.controllers").write_text("cpu pids\n")

    with pytest.raises(NoSharesError, match="no controller memory"):
        Shares(LIMITS, own=likeness)


def test_a_replica_that_may_not_divide_its_cgroup_says_so(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ANALYZERS)
    started = Sandbox(
        "sandbox_ok",
        analyzer_name="ok",
        slots=1,
        scratch=tmp_path / "s",
        network=False,
        memory_bytes=512 * MEBIBYTE,
    )

    try:
        warnings = started.start()
    finally:
        started.close()

    said = [warning for warning in warnings if "no cgroup for each slot" in warning]
    assert len(said) == (0 if _why_not() is None else 1)


@pytest.mark.usefixtures("divisible")
def test_the_processes_of_an_analysis_have_one_share_of_memory(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ANALYZERS)
    with sandbox(
        "sandbox_behaviours", "behave", tmp_path / "s", memory_bytes=256 * MEBIBYTE
    ) as started:
        outcome = run(started, planned_run(do="eats_memory_together"))

        assert isinstance(outcome, Crashed | OutOfMemory), outcome
        assert isinstance(run(started, planned_run(do="fine")), Finished)


@pytest.mark.usefixtures("divisible")
def test_the_processes_of_an_analysis_are_counted(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ANALYZERS)
    with sandbox("sandbox_behaviours", "behave", tmp_path / "s") as started:
        outcome = run(started, planned_run(do="forks_many"))

        assert isinstance(outcome, Finished), outcome
        assert outcome.analysis["result"] < 256
