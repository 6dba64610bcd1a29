"""
``assay job``: listing, showing, watching, cancelling, retrying, explaining.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar

from orchestrator.cli.ids import job_id
from orchestrator.cli.options import AsJSON
from orchestrator.client.http import Client, connect, segment
from orchestrator.client.models import OVER
from orchestrator.client.patience import patiently
from orchestrator.client.report import read_report
from orchestrator.client.watch import Watch
from orchestrator.terminal.output import (
    console,
    errors,
    print_fields,
    print_json,
    print_line,
    print_table,
)
from orchestrator.terminal.report import TASK_COLUMNS, print_report, task_rows
from orchestrator.terminal.sending import tell_away
from orchestrator.terminal.tables import table
from orchestrator.terminal.words import (
    Exact,
    kind_line,
    known_by_beginning,
    known_by_end,
    moment,
    time_between,
)

app = typer.Typer(help="Jobs.", no_args_is_help=True)

_HELP = "its id, six digits of its beginning or end, or 'latest'"

JobID = Annotated[str, typer.Argument(metavar="JOB", help=f"The job: {_HELP}.")]
JobIDs = Annotated[
    list[str], typer.Argument(metavar="JOB…", help=f"Jobs, each by {_HELP}.")
]

JOB_COLUMNS = ("job", "state", "file", "took", "enqueued", "priority", "sample")

#: Seconds between two looks; of those that are told of, at all of them.
_WATCH_SECONDS = 0.5
_ASK_SECONDS = 10.0

#: Jobs with a line of their own while many are watched; the workers' rows have all.
_JOBS_SHOWN = 10

_ENDED = ("success", "failed", "timeout", "cancelled")
_STATES = ("enqueued", "executing", *_ENDED)

#: A job and its tasks.
Reading = tuple[dict[str, Any], list[dict[str, Any]]]


@app.command("list")
def list_(
    state: Annotated[
        list[str] | None,
        typer.Option(metavar="STATE", help="Only in this state; may be repeated."),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=1000, metavar="N", help="How many.")
    ] = 25,
    as_json: AsJSON = False,
) -> None:
    """List the newest jobs."""
    with connect() as client:
        jobs = client.get("/job", limit=limit, state=state)
    if as_json:
        print_json(jobs)
        return
    print_table(
        ("job", "state", "file", "verdict", "score", "enqueued", "took", "sample"),
        map(_listed_row, jobs),
    )


@app.command()
def show(job: JobID, as_json: AsJSON = False) -> None:
    """Show a job: its verdict, what each worker found, and what is waited for."""
    with connect() as client:
        report = read_report(client, job_id(client, job))
    if as_json:
        print_json(report)
    else:
        print_report(report)


@app.command()
def watch(jobs: JobIDs, as_json: AsJSON = False) -> None:
    """Watch jobs until they are over; exit 1 if a task failed or timed out."""
    with connect() as client:
        ids = list(dict.fromkeys(job_id(client, job) for job in jobs))
        is_live = console.is_terminal and not as_json
        readings = (_follow_live if is_live else _follow_in_lines)(client, ids)
    if as_json:
        print_json({"jobs": [{**job, "tasks": tasks} for job, tasks in readings]})
    if any(map(_went_wrong, readings)):
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
        found = client.get(f"/job/{segment(job_id(client, job))}/explain")
    if as_json:
        print_json(found)
        return
    if (kind := found["classification"]) is not None:
        print_line(f"taken for {kind_line(kind, kind['metaData'])}")
    print_table(
        ("worker", "selected", "reason", "detail"),
        (
            (choice["worker"], choice["selected"], choice["reason"], choice["detail"])
            for choice in found["workers"]
        ),
    )
    if found["noVerdict"] is not None:
        print_line(f"no verdict: {found['noVerdict']}")


def progress_line(job: dict[str, Any], tasks: list[dict[str, Any]]) -> str:
    """Say in one line how far a job is."""
    parts = (f"{task['worker']} {task['state']}" for task in tasks)
    return f"{job['state']}: {', '.join(parts) or 'no tasks'}"


def worker_rows(readings: Sequence[Reading]) -> Iterator[tuple[object, ...]]:
    """Yield a row per worker: its name, ended of all, and how many in each state."""
    tasks = [task for _, tasks in readings for task in tasks]
    for worker in sorted({task["worker"] for task in tasks}):
        states = Counter(task["state"] for task in tasks if task["worker"] == worker)
        ended = sum(states[state] for state in _ENDED)
        yield (
            worker,
            f"{ended}/{states.total()}",
            *(states[state] or None for state in _STATES),
        )


def _went_wrong(reading: Reading) -> bool:
    job, tasks = reading
    return job["state"] != "done" or any(
        task["state"] in {"failed", "timeout"} for task in tasks
    )


def _command(job: str, verb: str, *, as_json: bool) -> None:
    with connect() as client:
        found = client.put(f"/job/{segment(job_id(client, job))}/{verb}")
    if as_json:
        print_json(found)
    else:
        print_fields({"job": found["id"], "state": found["state"]})


def _follow_live(client: Client, ids: Sequence[str]) -> list[Reading]:
    readings: list[Reading] = []
    with Live(console=console, auto_refresh=False) as live:
        for readings in _readings(client, ids):
            live.update(_picture(readings), refresh=True)
    return readings


def _follow_in_lines(client: Client, ids: Sequence[str]) -> list[Reading]:
    readings: list[Reading] = []
    told: dict[str, str] = {}
    for readings in _readings(client, ids):
        for job, tasks in readings:
            line = progress_line(job, tasks)
            if line != told.get(job["id"]):
                errors.print(f"{job['id']} {line}" if len(ids) > 1 else line)
            told[job["id"]] = line
    return readings


def _readings(client: Client, ids: Sequence[str]) -> Iterator[list[Reading]]:
    """Yield the jobs until all of them are over, that time included."""
    known = {each: _read(client, each) for each in ids}
    ask_at = time.monotonic() + _ASK_SECONDS
    with Watch(client, ids, with_tasks=True) as watch:
        while True:
            yield list(known.values())
            open_now = [each for each in ids if known[each][0]["state"] not in OVER]
            if not open_now:
                return
            told = watch.wait(_WATCH_SECONDS)
            if time.monotonic() >= ask_at:
                told, ask_at = None, time.monotonic() + _ASK_SECONDS
            for each in open_now:
                if told is None or each in told:
                    read = partial(_read, client, each)
                    known[each] = patiently(read, note_away=tell_away)


def _read(client: Client, job: str) -> Reading:
    # The tasks last: with a job that is over, they are too.
    found = client.get(f"/job/{segment(job)}")
    return found, client.get_all(f"/job/{segment(job)}/tasks")


def _picture(readings: Sequence[Reading]) -> Group:
    tasks = [task for _, tasks in readings for task in tasks]
    ended = sum(task["state"] in _ENDED for task in tasks)
    bar = ProgressBar(total=max(len(tasks), 1), completed=ended, width=40)
    jobs = [_job_row(job) for job, _ in readings[:_JOBS_SHOWN]]
    width = console.width
    head = table(JOB_COLUMNS, jobs, width=width)
    if len(readings) == 1:
        rows = table(TASK_COLUMNS, task_rows(tasks), width=width)
        return Group(head, "", rows, bar)
    over = sum(job["state"] in OVER for job, _ in readings)
    rows = table(("worker", "ended", *_STATES), worker_rows(readings), width=width)
    return Group(head, f"{over} of {len(readings)} jobs are over", "", rows, bar)


def _job_row(job: dict[str, Any]) -> tuple[object, ...]:
    return (
        known_by_end(job["id"]),
        job["state"],
        job["fileName"],
        _took(job),
        moment(job["enqueuedTimestamp"]),
        job["priority"],
        known_by_beginning(job["analysedSample"]["id"]),
    )


def _listed_row(job: dict[str, Any]) -> tuple[object, ...]:
    verdict = job["verdict"] or {}
    return (
        known_by_end(job["id"]),
        job["state"],
        job["fileName"],
        verdict.get("status"),
        verdict.get("score"),
        moment(job["enqueuedTimestamp"]),
        _took(job),
        known_by_beginning(job["analysedSample"]["id"]),
    )


def _took(job: dict[str, Any]) -> Exact | None:
    return time_between(job["enqueuedTimestamp"], job["endTimestamp"])
