"""
Submitting what was named, showing how far it is, and waiting until it is over.

Which workers look at a file the API decides; what it waits for, the API says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from orchestrator.client.http import Client, Progressed
from orchestrator.client.job import Job
from orchestrator.client.many import Submitter
from orchestrator.client.order import Order, Source
from orchestrator.client.patience import PATIENCE_SECONDS, patiently
from orchestrator.client.watch import JSONObject, Watch
from orchestrator.domain.errors import AssayError, UnavailableError
from orchestrator.domain.words import shown
from orchestrator.terminal.output import console, errors, tell
from orchestrator.terminal.sources import Named

_LOOK_SECONDS = 0.5
#: Seconds between two looks at all of them, whatever is told.
_ASK_SECONDS = 10.0
#: Seconds between two questions what is waited for.
_EXPLAIN_SECONDS = 2.0
#: Jobs of which it is asked; the rest wait for the same.
_EXPLAINED = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """What became of a file: its job, or why there is none."""

    shown: str
    job: Job | None = None
    error: AssayError | None = None


def send(
    client: Client,
    files: Sequence[Named],
    order: Order,
    *,
    file_name: str | None = None,
) -> Iterator[Sent]:
    """
    Submit files, and yield what became of each, with a bar on a terminal.

    Args:
        file_name: Instead of their own.

    Raises:
        AuthenticationError: Nobody is let in with this key.
        PermissionDeniedError: Its role may not submit.
    """
    names: dict[int, str] = {id(named.source): named.shown for named in files}
    submitter = Submitter(client, order, patience=PATIENCE_SECONDS, file_name=file_name)
    with _bar(sum(named.size_bytes for named in files)) as (name, progressed):

        def each() -> Iterator[Source]:
            for named in files:
                name(named.shown)
                yield named.source

        for done in submitter.submit(each(), progressed=progressed):
            name_of = names[id(done.source)]
            yield Sent(shown=name_of, job=done.job, error=done.error)


def wait(client: Client, jobs: Sequence[Job], *, timeout: float | None) -> bool:
    """
    Return when all jobs are over, saying what is waited for; whether they are.

    Args:
        timeout: Seconds; ``None`` waits as long as it takes.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    told: dict[str, str] = {}
    explain_at = time.monotonic() + _EXPLAIN_SECONDS
    ask_at = time.monotonic() + _ASK_SECONDS
    open_jobs = {
        str(job.id): job
        for job in jobs
        if not patiently(job.refresh, note_away=tell_away).is_over
    }
    with Watch(client, open_jobs) as watch:
        while open_jobs:
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                return False
            if now >= explain_at:
                _explain(client, list(open_jobs.values()), told, of=len(jobs))
                explain_at = now + _EXPLAIN_SECONDS
            left = _LOOK_SECONDS if deadline is None else deadline - now
            changed = watch.wait(max(0.0, min(_LOOK_SECONDS, left)))
            if now >= ask_at:
                changed, ask_at = None, now + _ASK_SECONDS
            if changed is None:
                changed = dict.fromkeys(open_jobs)
            _take(open_jobs, changed, PATIENCE_SECONDS if deadline is None else left)
    return True


def _take(
    open_jobs: dict[str, Job], changed: Mapping[str, JSONObject | None], patience: float
) -> None:
    """Take how jobs stand now, and keep those that are not over."""
    for job_id in changed.keys() & open_jobs.keys():
        take = partial(open_jobs[job_id].take, changed[job_id])
        if patiently(take, seconds=patience, note_away=tell_away).is_over:
            del open_jobs[job_id]


def tell_away(error: UnavailableError) -> None:
    """Say that somebody who is away is waited for."""
    tell(f"{error}; it is asked again")


def _explain(
    client: Client, open_jobs: Sequence[Job], told: dict[str, str], *, of: int
) -> None:
    if of > 1:
        _say(told, "jobs", f"{of - len(open_jobs)} of {of} jobs are over")
    for job in open_jobs[:_EXPLAINED]:
        with suppress(UnavailableError):
            _explain_one(client, job, told, of=of)


def _explain_one(client: Client, job: Job, told: dict[str, str], *, of: int) -> None:
    explained = client.get(f"/job/{job.id}/explain")
    for waiting in explained["waiting"]:
        about = f"{job.id}/{waiting['worker']}"
        end = f"…{str(job.id)[-8:]} " if of > 1 else ""
        line = f"{end}{waiting['worker']}: {waiting['detail']}"
        # Its numbers change with each look: said again when something else does.
        _say(told, about, line, key=waiting["because"])


def _say(
    told: dict[str, str], about: str, line: str, *, key: str | None = None
) -> None:
    if told.get(about) != (key or line):
        told[about] = key or line
        tell(line)


@contextmanager
def _bar(total: int) -> Iterator[tuple[Callable[[str], None], Progressed]]:
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
        # What is printed meanwhile is for standard output; on a terminal it stands
        # above the bar.
        redirect_stdout=console.is_terminal,
    ) as progress:
        bar = progress.add_task("submitting", total=total)
        yield (
            lambda name: progress.update(bar, description=shown(name)),
            lambda size: progress.advance(bar, size),
        )
