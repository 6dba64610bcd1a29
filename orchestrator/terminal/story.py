"""
A task's whole story as people read it: every attempt, as far as it is known.

The ordinary path keeps no row of an attempt: of earlier ones only what was out of the
ordinary is known, and the rest is said to be unknown. Prints nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.terminal.words import (
    Exact,
    moment,
    precise_moment,
    time_between,
)

STORY_COLUMNS = ("when", "attempt", "what", "reason", "by")

_NOT_KNOWN = Exact("not known", "not known")
_TAB_SPACES = 8

TaskData = Mapping[str, Any]
Row = tuple[object, ...]


def task_fields(task: TaskData) -> dict[str, object]:
    """Return what is known of a task, before what happened to it."""
    options = ", ".join(f"{name}={value}" for name, value in task["options"].items())
    fields = {
        "task": task["id"],
        "job": task["job"],
        "worker": task["worker"],
        "state": task["state"],
        "reason": task["reason"],
        "attempts": task["attempt"],
        "losses": task["losses"] or None,
        "holder": task["holder"],
        "late": task["late"] or None,
        "options": options or None,
        "enqueued": moment(task["enqueuedTimestamp"]),
        "took": time_between(task["startTimestamp"], task["endTimestamp"]),
        "analyses": ", ".join(link["id"] for link in task["analyses"]) or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def story_rows(task: TaskData) -> list[Row]:
    """Return what happened to a task, attempt by attempt, in order."""
    rows: list[Row] = []
    for attempt in range(1, task["attempt"] + 1):
        if attempt < task["attempt"]:
            rows += _earlier(task, attempt)
        else:
            rows += _newest(task)
    return rows


def messages(task: TaskData) -> Iterator[tuple[str, list[str]]]:
    """Yield every message: whose it is, and its lines, as a traceback has them."""
    told = set()
    for event in task["events"]:
        if event["message"]:
            told.add(event["message"])
            whose = f"attempt {event['attempt']}, {event['kind']}"
            yield whose, _lines(event["message"])
    if task["message"] and task["message"] not in told:
        yield f"attempt {task['attempt']}, {task['state']}", _lines(task["message"])


def _earlier(task: TaskData, attempt: int) -> list[Row]:
    begun: list[Row] = []
    if attempt == 1:
        at = precise_moment(task["enqueuedTimestamp"])
        begun = [(at, attempt, "enqueued", None, None)]
    # Published, delivered and executing, if it came to that.
    begun.append((_NOT_KNOWN, attempt, "published and run", None, None))
    return [*begun, *(row for _, row in _events(task, attempt))]


def _newest(task: TaskData) -> list[Row]:
    attempt, holder = task["attempt"], task["holder"]
    first = "enqueued" if attempt == 1 else "queued"
    steps: tuple[tuple[str, str, object, object], ...] = (
        (first, first, None, None),
        ("published", "published", None, None),
        ("start", "executing", None, holder),
        ("end", task["state"], task["reason"], holder),
    )
    events = _events(task, attempt)
    # An ending out of the ordinary is an event already, of the same transaction.
    told = {at for at, _ in events}
    rows = [
        (at, (precise_moment(at), attempt, *rest))
        for name, *rest in steps
        if (at := task[f"{name}Timestamp"]) is not None
        and not (name == "end" and at in told)
    ]
    # Of one moment: what happened before what it led to.
    return [row for _, row in sorted([*rows, *events], key=lambda pair: pair[0])]


def _events(task: TaskData, attempt: int) -> list[tuple[int, Row]]:
    return [
        (
            event["timestamp"],
            (
                precise_moment(event["timestamp"]),
                attempt,
                event["kind"],
                event["reason"],
                event["actor"],
            ),
        )
        for event in task["events"]
        if event["attempt"] == attempt
    ]


def _lines(message: str) -> list[str]:
    return [line.expandtabs(_TAB_SPACES) for line in message.splitlines()]
