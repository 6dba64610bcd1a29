"""
What still holds where the kernel lacks a wall, and what is said about the rest.

A wall is switched off in the template, from which every process of a sandbox is forked:
what is left is what such a kernel would have.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.attacks import attack, open_way, prepared_targets
from tests.fixtures.sandboxes import (
    ANALYZERS,
    descendants,
    is_alive,
    planned_run,
    run,
    sandbox,
)
from workers.analysis import JSON
from workers.sandbox.inside import landlock
from workers.sandbox.sandbox import Finished, Sandbox

#: Imported by the template before anything is confined.
SOURCE = """
from workers.sandbox.inside import landlock, seccomp

landlock.abi = lambda: {abi}
if not {has_filter}:
    seccomp.is_supported = lambda: False

from {module} import *
"""

#: What a kernel without Landlock leaves open, beside the network and system calls.
FILES = {
    "another sample",
    "another slot's sample",
    "emptying a file outside",
    "removing a file outside",
    "removing the sample",
    "shared memory",
    "the folder of the secrets",
    "the replica's command",
    "the secrets by a hard link",
    "the secrets by a rename",
    "the secrets in a child",
    "the secrets in a file",
    "the secrets through a link",
    "writing beside the sample",
    "writing outside",
}
#: What one without seccomp does; there Landlock keeps files, TCP and signals.
CALLS = {
    "a Unix socket",
    "a child in a namespace",
    "a datagram to a Unix socket",
    "a netlink socket",
    "a sibling",
    "a user namespace",
    "another end with its parent",
    "being no subreaper by a large number",
    "being the subreaper no more",
    "changing a mode outside",
    "outliving its parent",
    "shared memory by number",
    "the PostgreSQL by its socket",
    "the limits of the replica",
    "the priority of the replica",
    "the processors of the replica",
}

#: Landlock's ABI, whether there is a filter, what gets through, what is said.
KERNELS = [
    pytest.param(5, True, set(), "no scope of signals", id="no scopes"),
    pytest.param(3, True, set(), "no scope of signals", id="no TCP in Landlock"),
    pytest.param(
        *(1, True, {"emptying a file outside"}, "can empty files"), id="the first ABI"
    ),
    pytest.param(*(0, True, FILES, "can read and write every file"), id="no Landlock"),
    pytest.param(
        *(landlock.SCOPE_ABI, False, CALLS, "has every system call"), id="no seccomp"
    ),
]


@pytest.fixture
def targets(tmp_path: Path, real_servers: dict[str, JSON]) -> Iterator[dict[str, JSON]]:
    with prepared_targets(tmp_path) as targets:
        yield {**targets, **real_servers}


def on_kernel(
    folder: Path, abi: int, *, has_filter: bool, module: str = "sandbox_behaviours"
) -> str:
    """Write a module whose sandboxes are those of such a kernel; return its name."""
    open_way(folder)
    name = "on_an_old_kernel"
    text = SOURCE.format(abi=abi, has_filter=has_filter, module=module)
    (folder / f"{name}.py").write_text(text)
    return name


@pytest.mark.parametrize(("abi", "has_filter", "gets", "says"), KERNELS)
def test_an_older_kernel_leaves_open_what_is_said_and_no_more(  # noqa: PLR0917  (the table)
    tmp_path, targets, monkeypatch, abi, has_filter, gets, says
):
    module = on_kernel(tmp_path, abi, has_filter=has_filter, module="sandbox_hostile")
    monkeypatch.syspath_prepend(ANALYZERS)

    # Where it may be traced it stops at the first signal, for good.
    targets["spared"] = [] if has_filter else ["tracing itself"]
    got = attack(tmp_path, "hostile", targets, module=module, search=tmp_path)

    assert set(got) <= gets
    assert bool(got) == bool(gets)
    monkeypatch.syspath_prepend(tmp_path)
    assert any(says in warning for warning in _warnings(module, tmp_path))


def _warnings(module: str, folder: Path) -> tuple[str, ...]:
    started = Sandbox(
        module,
        analyzer_name="hostile",
        slots=1,
        scratch=folder / "s",
        network=False,
        memory_bytes=1024**3,
    )
    try:
        return started.start()
    finally:
        started.close()


@pytest.mark.parametrize(
    ("abi", "has_filter"), [(5, True), (1, True), (0, True), (6, False), (0, False)]
)
def test_nothing_of_an_analysis_outlives_its_answer_on_an_older_kernel(
    tmp_path, monkeypatch, abi, has_filter
):
    monkeypatch.syspath_prepend(ANALYZERS)
    monkeypatch.syspath_prepend(tmp_path)
    module = on_kernel(tmp_path, abi, has_filter=has_filter)

    with sandbox(module, "behave", tmp_path / "scratch") as started:
        left = run(started, planned_run(do="leaves_a_daemon"))
        again = run(started, planned_run(do="leaves_a_daemon"))

        assert isinstance(left, Finished), left
        assert isinstance(again, Finished), again
        for result in (left.analysis["result"], again.analysis["result"]):
            assert not is_alive(result["daemon"])
            assert not is_alive(result["pid"])
            assert descendants(result["pid"]) == set()
        assert left.analysis["result"]["pid"] != again.analysis["result"]["pid"]


@pytest.mark.parametrize("abi", [5, 0])
def test_an_analysis_ends_nobody_else_on_an_older_kernel(tmp_path, monkeypatch, abi):
    monkeypatch.syspath_prepend(ANALYZERS)
    monkeypatch.syspath_prepend(tmp_path)
    module = on_kernel(tmp_path, abi, has_filter=True)

    with (
        sandbox(module, "behave", tmp_path / "scratch") as started,
        subprocess.Popen(["sleep", "60"]) as other,
    ):
        outcome = run(started, planned_run(do="kills_others", pids=[other.pid]))

        assert isinstance(outcome, Finished), outcome
        assert is_alive(other.pid)
        other.kill()
