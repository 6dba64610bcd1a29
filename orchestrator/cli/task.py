"""
``assay task``: a job's tasks, and one task with its whole history.
"""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.job import TASK_COLUMNS, JobID, task_rows
from orchestrator.cli.output import (
    AsJSON,
    connect,
    console,
    moment,
    print_fields,
    print_json,
    print_table,
)

app = typer.Typer(help="A job's tasks.", no_args_is_help=True)


@app.command("list")
def list_(job: JobID, as_json: AsJSON = False) -> None:
    """List the tasks of a job."""
    with connect() as client:
        tasks = client.get_all(f"/job/{job}/tasks")
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
        ids = {one["worker"]: one["id"] for one in client.get_all(f"/job/{job}/tasks")}
        found = client.get(f"/job/{job}/task/{ids.get(task, task)}")
    if as_json:
        print_json(found)
        return
    events = found.pop("events")
    times = ("enqueued", "queued", "published", "start", "end")
    for name in times:
        found[f"{name}Timestamp"] = moment(found[f"{name}Timestamp"])
    found["analyses"] = ", ".join(one["id"] for one in found["analyses"]) or None
    print_fields(found)
    if events:
        console.print()
        print_table(events[0], (event.values() for event in events))
