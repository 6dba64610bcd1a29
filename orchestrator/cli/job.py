"""
``assay job``: listing, showing, watching, cancelling, retrying, explaining.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live

from orchestrator.cli.client import Client, segment
from orchestrator.cli.output import (
    AsJSON,
    connect,
    console,
    errors,
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

JOB_COLUMNS = ("job", "state", "file", "sample", "priority", "enqueued", "took")
TASK_COLUMNS = ("worker", "state", "reason", "attempt", "took", "score", "message")

_WATCH_SECONDS = 0.5

#: A job and its tasks.
Reading = tuple[dict[str, Any], list[dict[str, Any]]]


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
        _print(found, tasks)


@app.command()
def watch(job: JobID, as_json: AsJSON = False) -> None:
    """Watch a job until it is over; exit 1 if it did not end as done."""
    with connect() as client:
        if console.is_terminal and not as_json:
            found, tasks = _watch_live(client, job)
        else:
            found, tasks = _watch_lines(client, job)
    if as_json:
        print_json({**found, "tasks": tasks})
    if found["state"] != "done":
        raise typer.Exit(1)


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
        found = client.get(f"/job/{segment(job)}/explain")
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


def progress_line(job: dict[str, Any], tasks: list[dict[str, Any]]) -> str:
    """Say in one line how far a job is."""
    parts = (f"{task['worker']} {task['state']}" for task in tasks)
    return f"{job['state']}: {', '.join(parts) or 'no tasks'}"


def _command(job: str, verb: str, *, as_json: bool) -> None:
    with connect() as client:
        found = client.put(f"/job/{segment(job)}/{verb}")
    if as_json:
        print_json(found)
    else:
        print_fields({"job": found["id"], "state": found["state"]})


def _watch_live(client: Client, job: str) -> Reading:
    with Live(console=console, auto_refresh=False) as live:
        for found, tasks in _readings(client, job):
            live.update(_picture(found, tasks), refresh=True)
    return found, tasks


def _watch_lines(client: Client, job: str) -> Reading:
    told = ""
    for found, tasks in _readings(client, job):
        line = progress_line(found, tasks)
        if line != told:
            errors.print(line)
        told = line
    return found, tasks


def _readings(client: Client, job: str) -> Iterator[Reading]:
    """Yield the job until it is over, that time included."""
    while True:
        reading = _read(client, job)
        yield reading
        if reading[0]["state"] in FINAL:
            return
        time.sleep(_WATCH_SECONDS)


def _read(client: Client, job: str) -> Reading:
    # The tasks last: with a job that is over, they are too.
    found = client.get(f"/job/{segment(job)}")
    return found, client.get_all(f"/job/{segment(job)}/tasks")


def _print(job: dict[str, Any], tasks: list[dict[str, Any]]) -> None:
    print_table(JOB_COLUMNS, [_job_row(job)])
    print()
    print_table(TASK_COLUMNS, task_rows(tasks))


def _picture(job: dict[str, Any], tasks: list[dict[str, Any]]) -> Group:
    head = table(JOB_COLUMNS, [_job_row(job)])
    return Group(head, "", table(TASK_COLUMNS, task_rows(tasks)))


def _job_row(job: dict[str, Any]) -> tuple[object, ...]:
    return (
        job["id"],
        job["state"],
        job["fileName"],
        job["analysedSample"]["id"],
        job["priority"],
        moment(job["enqueuedTimestamp"]),
        seconds_between(job["enqueuedTimestamp"], job["endTimestamp"]),
    )
