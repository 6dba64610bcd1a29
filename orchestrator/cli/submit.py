"""
``assay submit``: uploads files and creates a job for each.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from orchestrator.cli.client import Client
from orchestrator.cli.output import (
    AsJSON,
    connect,
    errors,
    print_json,
    print_table,
)
from orchestrator.domain.errors import InvalidError

app = typer.Typer()

_POLL_SECONDS = 0.5
FINAL = frozenset({"done", "timeout"})


@app.command()
def submit(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="FILE|DIR…", help="Files, or folders of them."),
    ],
    wait: Annotated[bool, typer.Option(help="Wait for the verdicts.")] = False,
    priority: Annotated[
        int, typer.Option(min=-9, max=9, help="One step is worth ten minutes.")
    ] = 0,
    worker: Annotated[
        list[str] | None, typer.Option(help="Only this worker; may be repeated.")
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Upload files and create a job for each."""
    files = files_of(paths)
    with connect() as client:
        jobs = submit_files(client, files, priority=priority, workers=worker)
        if wait:
            jobs = wait_for(client, jobs)
        rows = [_row(client, job, with_verdict=wait) for job in jobs]
    if as_json:
        print_json({"jobs": rows})
    else:
        print_table(rows[0], (row.values() for row in rows))
    if wait and any(job["state"] != "done" for job in jobs):
        raise typer.Exit(1)


def files_of(paths: Sequence[Path]) -> list[Path]:
    """
    Return the files named, and those in the folders named, in order.

    Raises:
        InvalidError: One does not exist, or there is none at all.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(one for one in path.rglob("*") if one.is_file())
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
) -> list[dict[str, Any]]:
    """Upload files and create their jobs, showing progress on stderr."""
    jobs = []
    total = sum(file.stat().st_size for file in files)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    ) as progress:
        bar = progress.add_task("submitting", total=total)
        for file in files:
            progress.update(bar, description=file.name)
            sha256 = client.upload(
                file, progressed=lambda size: progress.advance(bar, size)
            )
            jobs.append(_create(client, sha256, file, priority, workers))
    return jobs


def wait_for(client: Client, jobs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the jobs once all of them are over."""
    over: dict[str, dict[str, Any]] = {}
    while True:
        for job in jobs:
            if job["id"] not in over:
                found = client.get(f"/job/{job['id']}")
                if found["state"] in FINAL:
                    over[job["id"]] = found
        if len(over) == len(jobs):
            return [over[job["id"]] for job in jobs]
        time.sleep(_POLL_SECONDS)


def _create(
    client: Client,
    sha256: str,
    file: Path,
    priority: int,
    workers: Sequence[str] | None,
) -> dict[str, Any]:
    order: dict[str, Any] = {
        "sampleSha256": sha256,
        "fileName": file.name,
        "priority": priority,
    }
    if workers:
        order["workers"] = list(workers)
    created: dict[str, Any] = client.post("/job", order)
    return created


def _row(client: Client, job: dict[str, Any], *, with_verdict: bool) -> dict[str, Any]:
    row = {
        "job": job["id"],
        "file": job["fileName"],
        "sha256": job["analysedSample"]["id"],
        "state": job["state"],
    }
    if with_verdict:
        verdict = client.get(f"/sample/{row['sha256']}").get("latestVerdict") or {}
        row |= {"verdict": verdict.get("status"), "score": verdict.get("score")}
    return row
