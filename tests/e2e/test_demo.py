"""
The README's first command, as a newcomer runs it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.embedded import launch
from orchestrator.embedded.places import Places, places
from tests.fixtures.embedded import STOP_SECONDS, all_gone, end, everything_of
from tests.fixtures.rounds import only_long

_SECONDS = 90


def assay(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its temporary files stand in *folder*."""
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *words],
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


def left_over(folder: Path) -> list[str]:
    """Return the command lines of processes that name a folder, and what is in it."""
    lines = (
        " ".join(process.info["cmdline"] or [])
        for process in psutil.process_iter(["cmdline"])
    )
    naming = [line for line in lines if str(folder) in line]
    return [*naming, *map(str, folder.iterdir())]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def bundled(folder: Path) -> subprocess.CompletedProcess[str]:
    return assay(folder, "demo", "--json")


@pytest.fixture(scope="module")
def samples(bundled: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    document = json.loads(bundled.stdout)
    return {sample["fileName"]: sample for sample in document["samples"]}


def test_the_demo_does_what_it_promises(bundled):
    assert bundled.returncode == 0, bundled.stderr
    assert "every task succeeded, all as expected" in bundled.stderr


def test_the_document_has_every_part_of_every_sample(samples):
    assert len(samples) >= 12
    for sample in samples.values():
        assert sample["analysedSample"]["size"] >= 0
        assert sample["state"] == "done"
        assert all(task["analyses"] for task in sample["tasks"])
        assert {task["state"] for task in sample["tasks"]} == {"success"}
        assert sample["verdict"]["coverage"] == 100


def test_the_test_virus_is_malicious_and_plain_text_is_not(samples):
    assert samples["eicar.com"]["verdict"]["status"] == "malicious"
    assert samples["notes.txt"]["verdict"]["status"] != "malicious"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("letter.docm", "macro_auto_exec"), ("form.pdf", "pdf_javascript")],
)
def test_what_was_found_is_named(samples, name, kind):
    found = {
        finding["kind"]
        for task in samples[name]["tasks"]
        for analysis in task["analyses"]
        for finding in analysis["analysisResult"].get("findings", [])
    }

    assert kind in found


def test_nothing_of_it_is_left(bundled, folder):
    assert bundled.returncode == 0
    assert left_over(folder) == []


def test_a_file_that_is_not_there_is_named(tmp_path):
    done = assay(tmp_path, "demo", "/nowhere/at-all")

    assert done.returncode == 1
    assert (
        done.stderr.splitlines()[-1]
        == "assay: /nowhere/at-all: no such file or directory"
    )


@contextmanager
def demo(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a demo whose temporary files stand in *folder*, and see that none is left."""
    with subprocess.Popen(
        launch.command(
            sys.executable, "-m", "orchestrator", "demo", parent=os.getpid()
        ),
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            end(process, signal.SIGTERM)
    assert list(folder.iterdir()) == []


def stack_of(folder: Path) -> Places:
    """Return where the stack of the demo that runs there has its files."""
    (demo_folder,) = (path for path in folder.iterdir() if "demo" in path.name)
    return places(demo_folder / "data")


def assert_nothing_is_left(found: Places, processes: list[psutil.Process]) -> None:
    assert all_gone(processes)
    for folder in (found.home, found.sockets, found.scratch):
        assert not folder.exists()


@pytest.mark.parametrize(
    ("step", "number"),
    [
        ("bringing the database", signal.SIGINT),
        pytest.param("submitting", signal.SIGTERM, marks=only_long),
    ],
)
def test_ended_midway_it_stops_everything_and_leaves_nothing(
    step: str, number: signal.Signals, tmp_path: Path
):
    with demo(tmp_path) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if step in line)
        found, started = stack_of(tmp_path), everything_of(process.pid)

        # The impatient: another one must not break off the stopping.
        end(process, number, signal.SIGINT, signal.SIGTERM)

        assert process.returncode == 130
        assert_nothing_is_left(found, started)


@only_long
def test_a_demo_whose_stack_dies_says_so_and_leaves_nothing(tmp_path: Path):
    with demo(tmp_path) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "starting the API" in line)
        found, started = stack_of(tmp_path), everything_of(process.pid)

        psutil.Process(process.pid).children()[0].kill()
        *_, last = process.stderr
        process.wait(STOP_SECONDS)

        assert process.returncode == 2
        assert last.startswith("assay: the supervisor ")
        assert_nothing_is_left(found, started)
