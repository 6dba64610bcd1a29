"""
``assay bench``, as typed: its document, and that nothing of it is left.

No number is asserted beyond what is true on any machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fixtures.rounds import only_long

PARTS = (
    *("api", "dispatch", "consume", "beat", "maintain"),
    *("replicas", "postgres", "redis", "clients", "measuring"),
)


def bench(folder: Path, *words: str) -> dict[str, Any]:
    """Run a benchmark whose temporary files stand in *folder*; return its document."""
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "bench", *words, "--json"],
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def command_lines() -> str:
    return "\n".join(
        " ".join(process.info["cmdline"] or [])
        for process in psutil.process_iter(["cmdline"])
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def fanout(folder: Path) -> Mapping[str, Any]:
    return bench(folder, "fanout", "--jobs", "20", "--workers", "2", "--runs", "1")


def test_fanout_says_what_it_ran_and_on_what(fanout):
    assert set(fanout) == {"benchmark", "machine", "parameters", "medians", "runs"}
    assert fanout["benchmark"] == "fanout"
    assert fanout["parameters"] == {
        "jobs": 20,
        "workers": 2,
        "slots": 1,
        "clients": 4,
        "runs": 1,
    }
    assert len(fanout["runs"]) == 1
    assert fanout["medians"] == fanout["runs"][0]


def test_fanout_measures_the_path_and_what_each_process_used(fanout):
    figures = fanout["medians"]

    assert figures["tasks_per_second"] == pytest.approx(40 / figures["seconds"], 0.01)
    assert 0 < figures["lone_job_p50_ms"] <= figures["lone_job_p95_ms"]
    for part in PARTS:
        assert figures[f"{part}_cpu_ms_per_task"] >= 0
        assert figures[f"{part}_peak_rss_mib"] > 1


@only_long
def test_reports_measures_one_consumer(folder: Path):
    document = bench(folder, "reports", "--reports", "1000", "--runs", "1")

    assert document["parameters"] == {"reports": 1000, "runs": 1}
    for run in document["runs"]:
        assert run["reports_per_second"] > 0
        assert run["batches"] >= 2


@only_long
def test_sweep_waits_until_every_expiry_is_applied(folder: Path):
    document = bench(
        folder, "sweep", "--open", "800", "--expiries", "80", "--runs", "1"
    )

    figures = document["medians"]
    assert figures["expiries_per_second"] == pytest.approx(
        80 / figures["sweep_seconds"], 0.01
    )


@only_long
def test_history_gives_the_plans_of_each_page(folder: Path):
    few = ("--tasks", "1000", "--open", "1000", "--requests", "3")
    document = bench(folder, "history", *few, "--runs", "1")

    assert document["medians"]["jobs_p95_ms"] > 0
    for plans in document["plans"].values():
        for plan in plans:
            assert "Execution Time" in plan
    assert any("Buffers" in plan for plan in document["plans"]["jobs"])
    assert set(document["plans"]) > {"samples", "admin_samples", "submissions", "jobs"}


@only_long
def test_backlog_keeps_the_broker_small(folder: Path):
    document = bench(
        folder, "backlog", "--tasks", "10000", "--seconds", "2", "--runs", "1"
    )

    figures = document["medians"]
    assert figures["queued_tasks"] > figures["broker_peak_messages"]
    assert figures["broker_peak_mib"] > 0
    assert figures["overtaking_seconds"] > 0


def test_nothing_of_it_is_left(fanout, folder: Path):
    assert fanout
    assert list(folder.iterdir()) == []
    assert str(folder) not in command_lines()
