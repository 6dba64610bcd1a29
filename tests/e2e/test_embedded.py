"""
The stack of one machine: what becomes of it when it is stopped, killed, and started
again.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.cli.client import Client
from orchestrator.cli.submit import submit_files
from orchestrator.embedded.places import places, remove
from tests.fixtures.field import eventually

#: Waits for a file that the test writes, so that the test says when it ends.
SLOW_WORKER = """
import time
from workers import Analysis, Sample, analyzer

@analyzer("slow_worker", version="1", run_seconds=60)
def slow(sample: Sample) -> Analysis:
    time.sleep(0.3)
    return Analysis(score=1)
"""


class Held:
    """A stack held by a process of its own."""

    def __init__(self, data_dir: Path, *workers: str, path: Path | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fixtures.stack_process", data_dir, *workers],
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(Path.cwd()), str(path)]),
            },
            start_new_session=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the stack did not start"
        self.info: dict[str, Any] = json.loads(line)
        self.processes: dict[str, int] = self.info["processes"]

    @property
    def client(self) -> Client:
        return Client(self.info["api_url"], self.info["api_key"])

    def everything(self) -> list[psutil.Process]:
        """Return every process of it, sandbox children included."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def end(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self.process.wait(12)
        assert self.process.stdout is not None
        self.process.stdout.close()


def all_gone(processes: list[psutil.Process]) -> bool:
    return not any(
        one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes
    )


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "data"
    remove(places(tmp_path / "data"))


def test_a_stack_runs_every_process_and_stops_all_of_it(data_dir: Path):
    held = Held(data_dir)
    everything = held.everything()
    assert set(held.processes) == {
        "postgres", "redis", "api", "dispatch", "consume", "beat", "maintain",
        "worker-strings",
    }  # fmt: skip

    held.end(signal.SIGTERM)

    assert all_gone(everything)


def test_a_process_that_dies_is_started_again(data_dir: Path):
    held = Held(data_dir)
    with held.client as client:
        os.kill(held.processes["api"], signal.SIGKILL)
        os.kill(held.processes["worker-strings"], signal.SIGKILL)

        eventually(lambda: client.get("/worker") is not None, within=20)
        eventually(
            lambda: sum("workers" in p.cmdline() for p in held.everything()) >= 1,
            within=20,
        )

    held.end(signal.SIGINT)


def test_kill_9_of_the_holder_takes_everything_down(data_dir: Path):
    held = Held(data_dir)
    everything = held.everything()
    assert any("workers.template" in " ".join(p.cmdline()) for p in everything)

    held.end(signal.SIGKILL)

    eventually(lambda: all_gone(everything), within=10)


def test_what_was_queued_survives_kill_9_of_the_whole_tree(
    data_dir: Path, tmp_path: Path
):
    (tmp_path / "slow_worker.py").write_text(SLOW_WORKER)
    files = []
    for number in range(100):
        files.append(tmp_path / f"{number}.txt")
        files[-1].write_text(f"sample {number}")
    held = Held(data_dir, "slow_worker", path=tmp_path)
    with held.client as client:
        jobs = submit_files(client, files)
        eventually(
            lambda: any(j["state"] == "executing" for j in client.get("/job")),
            within=20,
        )
    everything = held.everything()
    for process in everything:
        process.kill()
    held.end(signal.SIGKILL)
    eventually(lambda: all_gone(everything), within=10)

    again = Held(data_dir, "slow_worker", path=tmp_path)
    with again.client as client:
        eventually(
            lambda: (
                client.get("/job", limit=1, state="done") != []
                and len(client.get("/job", limit=1000, state="done")) == len(jobs)
            ),
            within=90,
            every=0.5,
        )
        states = {
            task["state"]
            for job in jobs
            for task in client.get(f"/job/{job['id']}/tasks")
        }
    assert states == {"success"}
    again.end(signal.SIGTERM)


def test_no_secret_is_on_a_command_line_or_in_an_open_file(data_dir: Path):
    held = Held(data_dir)
    secrets = {
        (data_dir / name).read_text().strip()
        for name in ("postgres.password", "redis.password", "secret.key")
    } | {held.info["api_key"]}

    lines = [" ".join(process.cmdline()) for process in held.everything()]
    open_to_others = [
        path
        for path in data_dir.rglob("*")
        if path.is_file() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    ]

    assert not [line for line in lines for secret in secrets if secret in line]
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    assert [p for p in open_to_others if any(s in p.read_text() for s in secrets)] == []
    held.end(signal.SIGTERM)


def test_a_worker_is_given_neither_the_database_nor_the_services_key(data_dir: Path):
    held = Held(data_dir)
    environment = Path(f"/proc/{held.processes['worker-strings']}/environ")
    if os.geteuid() != 0 and not os.access(environment, os.R_OK):
        known = ""  # Not even its own user may look: better still.
    else:
        known = environment.read_bytes().decode()

    assert "ASSAY_DATABASE_URL" not in known
    assert "ASSAY_SECRET_KEY" not in known
    held.end(signal.SIGTERM)
