"""
``assay submit``: uploads files and creates a job for each.

Says what became of every file; which workers look at it, the API decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import AsJSON, named_path
from orchestrator.client.failures import ClientError
from orchestrator.client.http import Client, connect
from orchestrator.terminal.output import errors, print_json, print_table, shown
from orchestrator.terminal.submit import Job, files_of, submit_files, wait_for

app = typer.Typer()


@app.command()
def submit(
    paths: Annotated[
        list[Path],
        typer.Argument(
            parser=named_path,
            metavar="FILE|DIR…",
            help="Files, or folders of them.",
        ),
    ],
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the verdicts.")
    ] = False,
    priority: Annotated[
        int, typer.Option(min=-9, max=9, help="One step is worth ten minutes.")
    ] = 0,
    worker: Annotated[
        list[str] | None, typer.Option(help="Only this worker; may be repeated.")
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Upload files and create a job for each; a file that fails stops no other."""
    files = files_of(paths)
    refused: list[tuple[Path, ClientError]] = []
    with connect() as client:
        jobs = submit_files(
            client,
            files,
            priority=priority,
            workers=worker,
            on_error=lambda file, error: refused.append((file, error)),
        )
        if wait:
            jobs = wait_for(client, jobs)
        rows = [_row(client, job, with_verdict=wait) for job in jobs]
    _show(rows, refused, as_json=as_json)
    if refused or (wait and any(job["state"] != "done" for job in jobs)):
        raise typer.Exit(1)


def _row(client: Client, job: Job, *, with_verdict: bool) -> Job:
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


def _show(
    rows: Sequence[Job],
    refused: Sequence[tuple[Path, ClientError]],
    *,
    as_json: bool,
) -> None:
    if as_json:
        wrong = [
            {"file": shown(str(file)), "error": error.message}
            for file, error in refused
        ]
        print_json({"jobs": rows, "errors": wrong})
        return
    if rows:
        print_table(rows[0], (row.values() for row in rows))
    for file, error in refused:
        errors.print(f"assay: {shown(str(file))}: {error.message}")
