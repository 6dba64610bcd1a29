"""
The main job from nothing to verdicts, on a stack of its own that leaves nothing behind.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from orchestrator.client.http import Client
from orchestrator.client.models import OVER
from orchestrator.client.order import Order
from orchestrator.client.report import Document, read_report
from orchestrator.demo.files import Expectation, build
from orchestrator.demo.report import progress_line, shortfalls, worker_counts
from orchestrator.domain.errors import AssayError
from orchestrator.domain.words import shown
from orchestrator.embedded.places import remove
from orchestrator.embedded.stack import Stack
from orchestrator.terminal.output import errors, tell
from orchestrator.terminal.sending import send
from orchestrator.terminal.signals import end
from orchestrator.terminal.sources import Named

_POLL_SECONDS = 0.25

#: How long nothing at all may move. Longer than any analysis may run.
_PATIENCE_SECONDS = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoResult:
    """
    What became of each file, and ``wrong``: a sentence for all that is not as expected.

    ``is_bundled``: the files were those that come with Assay.
    """

    reports: list[Document]
    wrong: list[str]
    is_bundled: bool


def run_demo(files: Sequence[Named]) -> DemoResult:
    """
    Start a stack of its own, analyse *files* on it, and leave nothing behind.

    Args:
        files: None of them are the bundled set, built for this run.

    Raises:
        AssayError: The stack did not start, or nothing moved any more.
    """
    with tempfile.TemporaryDirectory(prefix="assay-demo-") as folder:
        bundled = [] if files else build(Path(folder) / "files")
        own = [Named(source=file.path, shown=file.path.name) for file in bundled]
        with _stack(Path(folder) / "data") as client:
            reports = _analyse(client, files or own)
    expected: list[Expectation | None] = [file.expectation for file in bundled]
    wrong = shortfalls(reports, expected or [None] * len(reports))
    return DemoResult(reports=reports, wrong=list(wrong), is_bundled=bool(bundled))


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


def _analyse(client: Client, files: Sequence[Named]) -> list[Document]:
    tell(f"submitting {len(files)} files")
    jobs: list[Document] = []
    for sent in send(client, files, Order()):
        if sent.job is None:
            why = sent.error.message if sent.error else "there is no job"
            raise AssayError(f"{shown(sent.shown)}: {why}")
        jobs.append(client.get(f"/job/{sent.job.id}"))
    _follow(client, jobs)
    return [read_report(client, job["id"]) for job in jobs]


def _follow(client: Client, jobs: Sequence[Document]) -> None:
    """Show how far each worker is until every job is over."""
    with _display(errors) as show:
        ended: dict[str, list[Document]] = {}
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
    client: Client, jobs: Sequence[Document], ended: dict[str, list[Document]]
) -> list[Document]:
    """Move the tasks of jobs that are over to *ended*; return those of the others."""
    open_now: list[Document] = []
    for job in jobs:
        if job["id"] in ended:
            continue
        # The state first: with a job that is over, its tasks are too.
        is_over = client.get(f"/job/{job['id']}")["state"] in OVER
        tasks = client.get_all(f"/job/{job['id']}/tasks")
        if is_over:
            ended[job["id"]] = tasks
        else:
            open_now += tasks
    return open_now


@contextmanager
def _display(shown_on: Console) -> Iterator[Callable[[Sequence[Document]], str]]:
    """Yield what shows tasks: as bars on a terminal, else as a line when it changes."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, console=shown_on, disable=not shown_on.is_terminal
    ) as progress:
        bars: dict[str, Any] = {}
        told = ""

        def show(tasks: Sequence[Document]) -> str:
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
