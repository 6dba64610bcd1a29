"""
What the tasks of a job did over time, as parts of a line each: pure geometry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from orchestrator.domain.words import spell_duration
from orchestrator.queries.tasks import EventView, TaskView

#: Units from the beginning of a job to its end, or to now.
WIDTH: Final = 1000
#: Units that a part has at least, to be seen.
_LEAST: Final = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A span of a task's time; ``kind``: how it is drawn, ``title``: in words."""

    kind: str
    x: float
    width: float
    title: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """A task's line; ``words``: the same as its parts, for who does not see them."""

    task: TaskView
    parts: tuple[Part, ...]
    words: str


_NAMES: Final[Mapping[str, str]] = {
    "earlier": "earlier attempts",
    "backoff": "waited to be tried again",
    "queued": "queued",
    "delivered": "delivered, waited for a slot",
    "running": "running",
}


def draw(
    tasks: Sequence[TaskView],
    events: Mapping[UUID, Sequence[EventView]],
    *,
    start: datetime,
    end: datetime,
) -> tuple[Lane, ...]:
    """
    Draw the tasks of a job.

    Args:
        start: When the job was ordered.
        end: When it ended, or now.
    """
    scale = _Scale(start=start, length=max(end - start, timedelta(milliseconds=1)))
    lanes = []
    for task in tasks:
        spans = [span for span in _spans(task, end) if span[2] > span[1]]
        parts = [scale.part(*span) for span in spans]
        parts += [scale.mark(event) for event in events.get(task.id, ())]
        words = ", ".join(part.title for part in parts) or "no time at all"
        lanes.append(Lane(task=task, parts=tuple(parts), words=words))
    return tuple(lanes)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scale:
    start: datetime
    length: timedelta

    def part(self, kind: str, begin: datetime, end: datetime) -> Part:
        x = self._at(begin)
        took = spell_duration((end - begin).total_seconds())
        return Part(
            kind=kind,
            x=min(x, WIDTH - _LEAST),
            width=max(_LEAST, self._at(end) - x),
            title=f"{_NAMES.get(kind, f'ran, {kind}')} {took}",
        )

    def mark(self, event: EventView) -> Part:
        reason = f" ({event.reason})" if event.reason else ""
        return Part(
            kind="event",
            x=min(self._at(event.created_at), WIDTH - _LEAST),
            width=_LEAST,
            title=f"attempt {event.attempt} {event.kind}{reason}",
        )

    def _at(self, moment: datetime) -> float:
        share = (moment - self.start) / self.length
        return round(min(1.0, max(0.0, share)) * WIDTH, 1)


def _spans(task: TaskView, now: datetime) -> Iterator[tuple[str, datetime, datetime]]:
    end = task.ended_at or now
    if task.attempt > 1:
        yield "earlier", task.enqueued_at, task.queued_at
    waited_to = task.published_at or task.started_at or end
    due = min(max(task.not_before or task.queued_at, task.queued_at), waited_to)
    yield "backoff", task.queued_at, due
    yield "queued", due, waited_to
    if task.published_at is not None:
        yield "delivered", task.published_at, task.started_at or end
    if task.started_at is not None:
        state = task.state.value if task.ended_at is not None else "running"
        yield state, task.started_at, end
