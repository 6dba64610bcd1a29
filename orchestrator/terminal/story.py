"""
A task as people read it: what is known of it, and its whole story. Prints nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.domain.story import (
    ENDED,
    ENQUEUED,
    PUBLISHED,
    QUEUED,
    STARTED,
    Known,
    Step,
    tell,
)
from orchestrator.terminal.words import (
    Exact,
    moment,
    precise_moment,
    time_between,
)

#: The words of a story, and those of the API.
_MOMENTS = {
    ENQUEUED: "enqueued",
    QUEUED: "queued",
    PUBLISHED: "published",
    STARTED: "start",
    ENDED: "end",
}

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
    known = Known(
        attempt=task["attempt"],
        state=task["state"],
        reason=task["reason"],
        holder=task["holder"],
        moments={word: task[f"{name}Timestamp"] for word, name in _MOMENTS.items()},
        events=[
            Step(
                at=event["timestamp"],
                attempt=event["attempt"],
                what=event["kind"],
                reason=event["reason"],
                by=event["actor"],
            )
            for event in task["events"]
        ],
    )
    return [
        (
            _NOT_KNOWN if step.at is None else precise_moment(int(step.at)),
            step.attempt,
            step.what,
            step.reason,
            step.by,
        )
        for step in tell(known)
    ]


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


def _lines(message: str) -> list[str]:
    return [line.expandtabs(_TAB_SPACES) for line in message.splitlines()]
