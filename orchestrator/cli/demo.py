"""
``assay demo``: the main job from nothing to verdicts, on a stack of its own.
"""

from __future__ import annotations

import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from orchestrator.cli.client import Client
from orchestrator.cli.demo_files import DemoFile, Expectation, build
from orchestrator.cli.demo_report import sample_report, shortfalls
from orchestrator.cli.output import AsJSON, console, errors, print_json
from orchestrator.cli.submit import FINAL, files_of, submit_files
from orchestrator.domain.errors import AssayError
from orchestrator.embedded.places import remove
from orchestrator.embedded.stack import Stack

app = typer.Typer()

_POLL_SECONDS = 0.25

#: How long the slowest of the demo's jobs may take.
_PATIENCE_SECONDS = 300

Report = dict[str, Any]


@app.command()
def demo(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILES", help="Instead of the bundled set."),
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Start everything, analyse files, show the verdicts, stop everything."""
    signal.signal(signal.SIGTERM, interrupt)
    with tempfile.TemporaryDirectory(prefix="assay-demo-") as folder:
        made = [] if files else build(_folder(Path(folder) / "files"))
        chosen = files_of(files) if files else [one.path for one in made]
        with _stack(Path(folder) / "data") as client:
            reports = _analyse(client, chosen)
    _show(reports, made, as_json=as_json)


def _show(reports: list[Report], made: Sequence[DemoFile], *, as_json: bool) -> None:
    if as_json:
        print_json({"samples": reports})
    else:
        for report in reports:
            console.print(sample_report(report))
    expected: list[Expectation | None] = [one.expectation for one in made]
    expected = expected or [None] * len(reports)
    wrong = list(shortfalls(reports, expected))
    for sentence in wrong:
        errors.print(sentence, style="red")
    if wrong:
        raise typer.Exit(1)
    done = f"{len(reports)} samples, every job done, every task succeeded"
    errors.print(f"{done}{', all as expected' if made else ''}", style="green")


@contextmanager
def _stack(data_dir: Path) -> Iterator[Client]:
    stack = Stack(data_dir, slots=2)
    try:
        info = stack.start(on_progress=lambda step: errors.print(f"… {step}"))
        with Client(info.api_url, info.api_key) as client:
            yield client
        errors.print("… stopping everything")
    finally:
        stack.stop()
        remove(stack.places)


def _analyse(client: Client, files: Sequence[Path]) -> list[Report]:
    errors.print(f"… submitting {len(files)} files")
    jobs = submit_files(client, files)
    _follow(client, jobs)
    return [_report(client, job) for job in jobs]


def _follow(client: Client, jobs: Sequence[Report]) -> None:
    """Show how far each worker is until every job is over."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=errors,
        disable=not errors.is_terminal,
    ) as progress:
        bars: dict[str, Any] = {}
        shown = ""
        while True:
            tasks = [
                task for job in jobs for task in client.get(f"/job/{job['id']}/tasks")
            ]
            done, total = _counts(tasks)
            for worker in sorted(total):
                if worker not in bars:
                    bars[worker] = progress.add_task(worker, total=total[worker])
                progress.update(bars[worker], completed=done[worker])
            line = ", ".join(f"{w} {done[w]}/{total[w]}" for w in sorted(total))
            if not errors.is_terminal and line != shown:
                errors.print(f"… {line}")
            shown = line
            if all(client.get(f"/job/{job['id']}")["state"] in FINAL for job in jobs):
                return
            if time.monotonic() > deadline:
                raise AssayError(f"not done after {_PATIENCE_SECONDS} s: {line}")
            time.sleep(_POLL_SECONDS)


def _counts(tasks: Sequence[Report]) -> tuple[Counter[str], Counter[str]]:
    ended = (task["worker"] for task in tasks if task["endTimestamp"])
    return Counter(ended), Counter(task["worker"] for task in tasks)


def _report(client: Client, job: Report) -> Report:
    sha256 = job["analysedSample"]["id"]
    tasks = client.get_all(f"/job/{job['id']}/tasks")
    own = {one["id"] for task in tasks for one in task["analyses"]}
    analyses = client.get_all(f"/sample/{sha256}/analysis")
    return {
        "sha256": sha256,
        "fileName": job["fileName"],
        "job": client.get(f"/job/{job['id']}"),
        "tasks": tasks,
        "analyses": [one for one in analyses if one["analysisID"] in own],
        "verdict": client.get(f"/sample/{sha256}")["latestVerdict"],
    }


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """Take the same way out as at Ctrl-C: everything is stopped on it."""
    raise KeyboardInterrupt
