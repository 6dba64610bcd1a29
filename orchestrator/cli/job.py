"""
``assay job``: listing, showing, watching, cancelling, retrying, explaining.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live

from orchestrator.cli.client import Client
from orchestrator.cli.output import (
    AsJSON,
    connect,
    console,
    moment,
    print_fields,
    print_json,
    print_table,
    seconds_between,
    table,
)
from orchestrator.cli.submit import FINAL

app = typer.Typer(help="Jobs.", no_args_is_help=True)

JobID = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]

_WATCH_SECONDS = 0.5


@app.command("list")
def list_(
    state: Annotated[list[str] | None, typer.Option(help="Only in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 25,
    as_json: AsJSON = False,
) -> None:
    """List the newest jobs."""
    with connect() as client:
        jobs = client.get("/job", limit=limit, state=state)
    if as_json:
        print_json(jobs)
        return
    print_table(
        ("job", "state", "file", "sample", "open", "enqueued", "took"),
        (
            (
                job["id"],
                job["state"],
                job["fileName"],
                job["analysedSample"]["id"][:12],
                job["openTasks"],
                moment(job["enqueuedTimestamp"]),
                seconds_between(job["enqueuedTimestamp"], job["endTimestamp"]),
            )
            for job in jobs
        ),
    )


@app.command()
def show(job: JobID, as_json: AsJSON = False) -> None:
    """Show a job with its tasks."""
    with connect() as client:
        found, tasks = _read(client, job)
    if as_json:
        print_json({**found, "tasks": tasks})
    else:
        console.print(_picture(found, tasks))


@app.command()
def watch(job: JobID) -> None:
    """Watch a job until it is over."""
    with connect() as client, Live(console=console, auto_refresh=False) as live:
        while True:
            found, tasks = _read(client, job)
            live.update(_picture(found, tasks), refresh=True)
            if found["state"] in FINAL:
                break
            time.sleep(_WATCH_SECONDS)


@app.command()
def cancel(job: JobID, as_json: AsJSON = False) -> None:
    """Cancel what of a job has not ended."""
    _command(job, "cancel", as_json=as_json)


@app.command()
def retry(job: JobID, as_json: AsJSON = False) -> None:
    """Try a job's failed and timed-out tasks again."""
    _command(job, "retry", as_json=as_json)


@app.command()
def explain(job: JobID, as_json: AsJSON = False) -> None:
    """Say of every registered worker why it looked at the sample, or did not."""
    with connect() as client:
        found = client.get(f"/job/{job}/explain")
    if as_json:
        print_json(found)
        return
    print_table(
        ("worker", "selected", "reason", "detail"),
        (
            (one["worker"], one["selected"], one["reason"], one["detail"])
            for one in found["workers"]
        ),
    )


def task_rows(tasks: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    """Return a job's tasks as rows: worker, state, reason, attempt, took, score."""
    return [
        (
            task["worker"],
            task["state"],
            task["reason"],
            task["attempt"],
            seconds_between(task["startTimestamp"], task["endTimestamp"]),
            max((one["analysisScore"] for one in task["analyses"]), default=None),
            task["message"],
        )
        for task in tasks
    ]


TASK_COLUMNS = ("worker", "state", "reason", "attempt", "took", "score", "message")


def _command(job: str, verb: str, *, as_json: bool) -> None:
    with connect() as client:
        found = client.put(f"/job/{job}/{verb}")
    if as_json:
        print_json(found)
    else:
        print_fields({"job": found["id"], "state": found["state"]})


def _read(client: Client, job: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return client.get(f"/job/{job}"), client.get_all(f"/job/{job}/tasks")


def _picture(job: dict[str, Any], tasks: list[dict[str, Any]]) -> Group:
    head = table(
        ("job", "state", "file", "sample", "priority", "enqueued"),
        [
            (
                job["id"],
                job["state"],
                job["fileName"],
                job["analysedSample"]["id"],
                job["priority"],
                moment(job["enqueuedTimestamp"]),
            )
        ],
    )
    return Group(head, "", table(TASK_COLUMNS, task_rows(tasks)))
