"""
The README's first command, as a newcomer runs it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.cli.demo_files import build

_SECONDS = 90


def assay(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *words],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


def left_over(marker: str) -> list[str]:
    """Return the command lines of processes that name a demo's folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if marker in line:
            found.append(line)
    return found


@pytest.fixture(scope="module")
def bundled() -> subprocess.CompletedProcess[str]:
    return assay("demo", "--json")


@pytest.fixture(scope="module")
def samples(bundled: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    document = json.loads(bundled.stdout)
    return {one["fileName"]: one for one in document["samples"]}


def test_the_demo_does_what_it_promises(bundled):
    assert bundled.returncode == 0, bundled.stderr
    assert "every task succeeded, all as expected" in bundled.stderr


def test_the_document_has_every_part_of_every_sample(samples):
    assert len(samples) >= 12
    for one in samples.values():
        assert set(one) == {
            "sha256",
            "fileName",
            "job",
            "tasks",
            "analyses",
            "verdict",
        }
        assert one["job"]["state"] == "done"
        assert {task["state"] for task in one["tasks"]} == {"success"}
        assert one["verdict"]["coverage"] == 100


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
        for analysis in samples[name]["analyses"]
        for finding in analysis["analysisResult"].get("findings", [])
    }

    assert kind in found


def test_nothing_of_it_is_left(bundled):
    assert bundled.returncode == 0
    assert left_over("assay-demo-") == []


def test_files_of_ones_own_are_analysed(tmp_path: Path):
    made = build(tmp_path, seed=7, urls=("https://example.org/x",), padding_bytes=9)
    chosen = [str(one.path) for one in made if one.kind in {"eicar", "text"}]

    done = assay("demo", "--json", *chosen)

    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["samples"]) == len(chosen)


def test_a_file_that_is_not_there_is_named():
    done = assay("demo", "/nowhere/at-all")

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "assay: there is no file /nowhere/at-all"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", ["bringing the database", "submitting"])
def test_ended_midway_it_stops_everything_and_leaves_nothing(
    step: str, number: signal.Signals, tmp_path: Path
):
    with subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "demo"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if step in line)
        started = psutil.Process(process.pid).children(recursive=True)

        process.send_signal(number)
        next(line for line in process.stderr if "stopping everything" in line)
        # The impatient: a second one must not break off the stopping.
        process.send_signal(number)
        process.wait(30)

    assert process.returncode == 130
    _, alive = psutil.wait_procs(started, timeout=5)
    assert alive == []
    assert list(tmp_path.iterdir()) == []
