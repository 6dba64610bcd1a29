"""
``assay task``: a job's tasks, and one task with its whole history.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from orchestrator.cli.client import segment
from orchestrator.cli.job import TASK_COLUMNS, JobID, task_rows
from orchestrator.cli.output import (
    AsJSON,
    connect,
    moment,
    print_fields,
    print_json,
    print_table,
)

app = typer.Typer(help="A job's tasks.", no_args_is_help=True)

EVENT_COLUMNS = ("when", "what", "attempt", "reason", "by", "message")

_TIMES = tuple(
    f"{what}Timestamp" for what in ("enqueued", "queued", "published", "start", "end")
)


@app.command("list")
def list_(job: JobID, as_json: AsJSON = False) -> None:
    """List the tasks of a job."""
    with connect() as client:
        tasks = client.get_all(f"/job/{segment(job)}/tasks")
    if as_json:
        print_json(tasks)
        return
    rows = zip(tasks, task_rows(tasks), strict=True)
    print_table(("task", *TASK_COLUMNS), ((task["id"], *row) for task, row in rows))


@app.command()
def show(
    job: JobID,
    task: Annotated[str, typer.Argument(help="The task's id, or its worker's name.")],
    as_json: AsJSON = False,
) -> None:
    """Show a task with all that was out of the ordinary in its life."""
    with connect() as client:
        path = f"/job/{segment(job)}"
        ids = {one["worker"]: one["id"] for one in client.get_all(f"{path}/tasks")}
        found = client.get(f"{path}/task/{segment(ids.get(task, task))}")
    if as_json:
        print_json(found)
        return
    print_fields(task_fields(found))
    if found["events"]:
        print()
        print_table(EVENT_COLUMNS, map(event_row, found["events"]))


def task_fields(task: Mapping[str, Any]) -> dict[str, object]:
    """Return a task's fields as people read them; events are rows of their own."""
    fields = {name: value for name, value in task.items() if name != "events"}
    for name in _TIMES:
        fields[name] = moment(task[name])
    fields["analyses"] = ", ".join(one["id"] for one in task["analyses"]) or None
    return fields


def event_row(event: Mapping[str, Any]) -> tuple[object, ...]:
    """Return an event as a row: when, what, attempt, reason, by whom, message."""
    return (
        moment(event["timestamp"]),
        event["kind"],
        event["attempt"],
        event["reason"],
        event["actor"],
        event["message"],
    )
