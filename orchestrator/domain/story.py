"""
A task's whole story, attempt by attempt, as far as it is known.

The ordinary path keeps no row of an attempt: of earlier ones only what was out of the
ordinary is known. Moments are numbers, of whichever unit the reader has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

#: The words of its moments.
ENQUEUED: Final = "enqueued"
QUEUED: Final = "queued"
PUBLISHED: Final = "published"
STARTED: Final = "started"
ENDED: Final = "ended"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """Something that happened; ``at``: ``None`` where nobody knows when, or whether."""

    at: float | None
    attempt: int
    what: str
    reason: str | None = None
    by: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """
    What is known of a task.

    ``moments``: of its newest attempt, by the words above; ``events``: what was out of
    the ordinary, of every attempt, oldest first.
    """

    attempt: int
    state: str
    reason: str | None
    holder: str | None
    moments: Mapping[str, float | None]
    events: Sequence[Step]


def tell(known: Known) -> list[Step]:
    """Return what happened to a task, in order."""
    steps: list[Step] = []
    for attempt in range(1, known.attempt):
        steps += _earlier(known, attempt)
    return [*steps, *_newest(known)]


def _earlier(known: Known, attempt: int) -> Iterator[Step]:
    if attempt == 1:
        yield Step(at=known.moments[ENQUEUED], attempt=attempt, what="enqueued")
    # Published, delivered and executing, if it came to that.
    yield Step(at=None, attempt=attempt, what="published and run")
    yield from (event for event in known.events if event.attempt == attempt)


def _newest(known: Known) -> list[Step]:
    attempt, holder = known.attempt, known.holder
    events = [event for event in known.events if event.attempt == attempt]
    first = ENQUEUED if attempt == 1 else QUEUED
    ordinary = (
        (first, first, None, None),
        (PUBLISHED, "published", None, None),
        (STARTED, "executing", None, holder),
        (ENDED, known.state, known.reason, holder),
    )
    # An ending out of the ordinary is an event already, of the same transaction.
    told = {event.at for event in events}
    steps = [
        Step(at=at, attempt=attempt, what=what, reason=reason, by=by)
        for word, what, reason, by in ordinary
        if (at := known.moments[word]) is not None
        and not (word == ENDED and at in told)
    ]
    # Of one moment: what happened before what it led to.
    return sorted([*steps, *events], key=_moment)


def _moment(step: Step) -> float:
    if step.at is None:
        raise TypeError("what has no moment has no place among those that do")
    return step.at
