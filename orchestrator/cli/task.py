"""
``assay task``: a job's tasks, and one task with its whole history.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from orchestrator.cli.ids import job_id, task_of
from orchestrator.cli.job import TASK_COLUMNS, JobID, task_rows
from orchestrator.cli.options import AsJSON
from orchestrator.client.http import connect, segment
from orchestrator.terminal.output import moment, print_fields, print_json, print_table

app = typer.Typer(help="A job's tasks.", no_args_is_help=True)

EVENT_COLUMNS = ("when", "what", "attempt", "reason", "by", "message")

_TIMES = tuple(
    f"{what}Timestamp" for what in ("enqueued", "queued", "published", "start", "end")
)


@app.command("list")
def list_(job: JobID, as_json: AsJSON = False) -> None:
    """List the tasks of a job."""
    with connect() as client:
        tasks = client.get_all(f"/job/{segment(job_id(client, job))}/tasks")
    if as_json:
        print_json(tasks)
        return
    rows = zip(tasks, task_rows(tasks), strict=True)
    print_table(("task", *TASK_COLUMNS), ((task["id"], *row) for task, row in rows))


@app.command()
def show(
    task: Annotated[
        str,
        typer.Argument(
            metavar="JOB/WORKER|TASK", help="As latest/yara, or the task's whole id."
        ),
    ],
    worker: Annotated[
        str | None, typer.Argument(help="After a job: the worker, or the task's id.")
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Show a task with its whole history: what happened when, by whom and why."""
    with connect() as client:
        found = task_of(client, task, worker)
    if as_json:
        print_json(found)
        return
    print_fields(task_fields(found))
    print()
    print_table(EVENT_COLUMNS, history_rows(found))


def task_fields(task: Mapping[str, Any]) -> dict[str, object]:
    """Return a task's fields as people read them; events are rows of their own."""
    fields = {name: value for name, value in task.items() if name != "events"}
    for name in _TIMES:
        fields[name] = moment(task[name])
    fields["analyses"] = (
        ", ".join(analysis["id"] for analysis in task["analyses"]) or None
    )
    return fields


def history_rows(task: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """
    Return a task's life in order: its events, and the times of its present attempt.

    What earlier attempts went through is in the events alone.
    """
    attempt, holder = task["attempt"], task["holder"]
    moments: tuple[tuple[str, str, int, object, object, object], ...] = (
        ("enqueued", "enqueued", 1, None, None, None),
        ("published", "published", attempt, None, None, None),
        ("start", "executing", attempt, None, holder, None),
        ("end", task["state"], attempt, task["reason"], holder, task["message"]),
    )
    # An ending out of the ordinary is an event already, of the same transaction.
    told = {(event["attempt"], event["timestamp"]) for event in task["events"]}
    rows = [
        (at, *rest)
        for name, *rest in moments
        if (at := task[f"{name}Timestamp"]) is not None
        and not (name == "end" and (attempt, at) in told)
    ]
    rows += [
        (
            event["timestamp"],
            event["kind"],
            event["attempt"],
            event["reason"],
            event["actor"],
            event["message"],
        )
        for event in task["events"]
    ]
    # Of one moment: what happened before what it led to.
    rows.sort(key=lambda row: row[0])
    return [(moment(at), *rest) for at, *rest in rows]
