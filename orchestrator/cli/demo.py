"""
``assay demo``: the main job from nothing to verdicts, on a stack of its own.
"""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from orchestrator.cli.client import Client
from orchestrator.cli.demo_files import DemoFile, Expectation, build
from orchestrator.cli.demo_report import (
    progress_line,
    sample_report,
    shortfalls,
    worker_counts,
)
from orchestrator.cli.output import AsJSON, console, errors, print_json
from orchestrator.cli.submit import FINAL, files_of, named_path, submit_files
from orchestrator.domain.errors import AssayError
from orchestrator.embedded.places import remove
from orchestrator.embedded.stack import Stack

app = typer.Typer()

_POLL_SECONDS = 0.25

#: How long nothing at all may move. Longer than any analysis may run.
_PATIENCE_SECONDS = 300

_AGAIN_SECONDS = 1

_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Report = dict[str, Any]


@app.command()
def demo(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            parser=named_path, metavar="FILES", help="Instead of the bundled set."
        ),
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Start everything, analyse files, show the verdicts, stop everything."""
    interrupt_on_signals()
    with tempfile.TemporaryDirectory(prefix="assay-demo-") as folder:
        made = [] if files else build(Path(folder) / "files")
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
        info = stack.start(on_progress=tell)
        with Client(info.api_url, info.api_key) as client:
            yield client
    finally:
        try:
            end(stack)
        finally:
            remove(stack.places)


def _analyse(client: Client, files: Sequence[Path]) -> list[Report]:
    tell(f"submitting {len(files)} files")
    jobs = submit_files(client, files)
    _follow(client, jobs)
    return [_report(client, job) for job in jobs]


def _follow(client: Client, jobs: Sequence[Report]) -> None:
    """Show how far each worker is until every job is over."""
    with _display(errors) as show:
        ended: dict[str, list[Report]] = {}
        told, told_at = "", time.monotonic()
        while len(ended) < len(jobs):
            open_now = _look(client, jobs, ended)
            line = show([*chain(*ended.values()), *open_now])
            if line != told:
                told, told_at = line, time.monotonic()
            elif time.monotonic() - told_at > _PATIENCE_SECONDS:
                raise AssayError(f"nothing moved for {_PATIENCE_SECONDS} s: {line}")
            if len(ended) < len(jobs):
                time.sleep(_POLL_SECONDS)


def _look(
    client: Client, jobs: Sequence[Report], ended: dict[str, list[Report]]
) -> list[Report]:
    """Move the tasks of jobs that are over to *ended*; return those of the others."""
    open_now: list[Report] = []
    for job in jobs:
        if job["id"] in ended:
            continue
        # The state first: with a job that is over, its tasks are too.
        is_over = client.get(f"/job/{job['id']}")["state"] in FINAL
        tasks = client.get_all(f"/job/{job['id']}/tasks")
        if is_over:
            ended[job["id"]] = tasks
        else:
            open_now += tasks
    return open_now


@contextmanager
def _display(shown_on: Console) -> Iterator[Callable[[Sequence[Report]], str]]:
    """Yield what shows tasks: as bars on a terminal, else as a line when it changes."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, console=shown_on, disable=not shown_on.is_terminal
    ) as progress:
        bars: dict[str, Any] = {}
        told = ""

        def show(tasks: Sequence[Report]) -> str:
            nonlocal told
            counts = worker_counts(tasks)
            for worker, (done, total) in counts.items():
                bar = bars.get(worker)
                if bar is None:
                    bar = bars[worker] = progress.add_task(worker, total=total)
                progress.update(bar, completed=done, total=total)
            line = progress_line(counts)
            if line != told and not shown_on.is_terminal:
                tell(line)
            told = line
            return line

        yield show


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


def end(stack: Stack) -> None:
    """Stop everything; whoever asks again meanwhile waits for it like everybody."""
    ignore_endings()
    try:
        if stack.is_running:
            tell("stopping everything")
    finally:
        # The terminal may be gone.
        stack.stop()


def interrupt_on_signals() -> None:
    """Let every way to end a command be Ctrl-C's, on which everything is stopped."""
    for number in _ENDINGS:
        # What nohup or a shell's & has set to be ignored stays so.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def ignore_endings() -> None:
    """From here on nothing breaks off what is done; it has to end by itself."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)


def tell(step: str) -> None:
    """Say on stderr what happens now."""
    errors.print(f"… {step}")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # A second one would break off the stopping that the first one began.
    ignore_endings()
    # This one may be swallowed, as in a destructor: it comes again until they stop.
    signal.signal(signal.SIGALRM, _interrupt_again)
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS, _AGAIN_SECONDS)
    raise KeyboardInterrupt


def _interrupt_again(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
