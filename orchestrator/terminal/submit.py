"""
Uploads files and creates a job for each, showing how far it is; waits for them.

Which workers look at a file, the API decides.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
)

from orchestrator.client.failures import ClientError
from orchestrator.client.http import Client, Progressed
from orchestrator.domain.errors import InvalidError
from orchestrator.terminal.output import errors, shown

_POLL_SECONDS = 0.5

#: States of a job that is over.
FINAL = frozenset({"done", "timeout"})

#: A job as the API has it.
Job = dict[str, Any]


def files_of(paths: Sequence[Path]) -> list[Path]:
    """
    Return the files named, and those in the folders named, in order.

    Raises:
        InvalidError: One does not exist, or there is none at all.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(entry for entry in path.rglob("*") if entry.is_file())
        elif path.is_file():
            files.append(path)
        else:
            raise InvalidError(f"there is no file {path}", field="FILE")
    if not files:
        raise InvalidError("there are no files in what was named", field="FILE")
    return files


def submit_files(
    client: Client,
    files: Sequence[Path],
    *,
    priority: int = 0,
    workers: Sequence[str] | None = None,
    on_error: Callable[[Path, ClientError], None] | None = None,
) -> list[Job]:
    """
    Upload files and create their jobs, showing progress on stderr.

    Args:
        on_error: Is told of a file that fails, and the others go on.

    Raises:
        ClientError: A file fails and nobody is there to be told; it is named.
    """
    jobs = []
    with _progress(sum(map(_size, files))) as (name, progressed):
        for file in files:
            name(file.name)
            try:
                sha256 = client.upload(file, progressed=progressed)
                jobs.append(_create(client, sha256, file, priority, workers))
            except ClientError as error:
                if on_error is None:
                    raise ClientError(f"{shown(str(file))}: {error.message}") from error
                on_error(file, error)
    return jobs


def wait_for(client: Client, jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs once all of them are over, showing how many are."""
    over: dict[str, Job] = {}
    with Progress(
        TextColumn("waiting"),
        BarColumn(),
        MofNCompleteColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    ) as progress:
        bar = progress.add_task("", total=len(jobs))
        while True:
            over |= _ended(client, [job for job in jobs if job["id"] not in over])
            progress.update(bar, completed=len(over))
            if len(over) == len(jobs):
                return [over[job["id"]] for job in jobs]
            time.sleep(_POLL_SECONDS)


def _ended(client: Client, jobs: Sequence[Job]) -> dict[str, Job]:
    found = (client.get(f"/job/{job['id']}") for job in jobs)
    return {job["id"]: job for job in found if job["state"] in FINAL}


@contextmanager
def _progress(total: int) -> Iterator[tuple[Callable[[str], None], Progressed]]:
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    ) as progress:
        bar = progress.add_task("submitting", total=total)
        yield (
            lambda name: progress.update(bar, description=shown(name)),
            lambda size: progress.advance(bar, size),
        )


def _size(file: Path) -> int:
    # Only for the bar: one that is gone by now fails where it is read.
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _create(
    client: Client,
    sha256: str,
    file: Path,
    priority: int,
    workers: Sequence[str] | None,
) -> Job:
    order: Job = {
        "sampleSha256": sha256,
        # The system's names are bytes; those of the API are text.
        "fileName": os.fsencode(file.name).decode("utf-8", "replace"),
        "priority": priority,
    }
    if workers:
        order["workers"] = list(workers)
    created: Job = client.post("/job", order)
    return created
