"""
``assay task``: a job's tasks, and one task with its whole history.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from orchestrator.cli.ids import job_id, task_of
from orchestrator.cli.job import JobID
from orchestrator.cli.options import AsJSON
from orchestrator.client.http import Client, connect, segment
from orchestrator.terminal.output import (
    print_fields,
    print_heading,
    print_json,
    print_line,
    print_table,
)
from orchestrator.terminal.report import TASK_COLUMNS, task_rows
from orchestrator.terminal.story import (
    STORY_COLUMNS,
    messages,
    story_rows,
    task_fields,
)
from orchestrator.terminal.words import first_line, known_by_end

app = typer.Typer(help="A job's tasks.", no_args_is_help=True)


@app.command("list")
def list_(job: JobID, as_json: AsJSON = False) -> None:
    """List the tasks of a job."""
    with connect() as client:
        tasks = client.get_all(f"/job/{segment(job_id(client, job))}/tasks")
    if as_json:
        print_json(tasks)
        return
    rows = zip(tasks, task_rows(tasks), strict=True)
    print_table(
        (*TASK_COLUMNS, "task", "message"),
        (
            (*row, known_by_end(task["id"]), first_line(task["message"]))
            for task, row in rows
        ),
    )


@app.command()
def show(
    task: Annotated[
        str,
        typer.Argument(
            metavar="JOB/WORKER|TASK",
            help="As latest/yara, or the task's whole id.",
        ),
    ],
    worker: Annotated[
        str | None,
        typer.Argument(
            metavar="WORKER", help="After a job: the worker, or the task's id."
        ),
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Show a task with its whole history: what happened when, by whom and why."""
    with connect() as client:
        found = task_of(client, task, worker)
        waiting = _waiting(client, found)
    if as_json:
        print_json({**found, "waiting": waiting})
        return
    print_fields(task_fields(found))
    if waiting is not None:
        print_line(f"waits: {waiting['detail']}")
    print()
    print_table(STORY_COLUMNS, story_rows(found))
    for whose, lines in messages(found):
        print_heading(whose)
        for line in lines:
            print_line(f"  {line}")


def _waiting(client: Client, task: Mapping[str, Any]) -> Any:
    """Return what a task that is open waits for; ``None`` of one that has ended."""
    if task["endTimestamp"] is not None:
        return None
    explained = client.get(f"/job/{task['job']}/explain")
    return next(
        (each for each in explained["waiting"] if each["task"] == task["id"]), None
    )
