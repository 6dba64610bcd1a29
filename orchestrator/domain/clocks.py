"""
The clocks: every non-final state has at least one, and one rule says when it is over.

Owns the limits and the rule of silence. It reads no clock: times are arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from orchestrator.domain.values import JobState, Reason, TaskState


class Ending(StrEnum):
    """What happens when a clock runs out."""

    TIMEOUT = "timeout"
    LOSS = "loss"
    PUBLISH_AGAIN = "publish_again"


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """One clock of a state: its name, what its end does, and with which reason."""

    name: str
    ending: Ending
    reason: Reason | None


#: Adding a state without a clock fails a test.
TASK_CLOCKS: Mapping[TaskState, tuple[Clock, ...]] = {
    TaskState.ENQUEUED: (
        Clock(name="nobody_home", ending=Ending.TIMEOUT, reason=Reason.NO_WORKER),
        Clock(name="queue_wait", ending=Ending.TIMEOUT, reason=Reason.QUEUE_WAIT),
        Clock(name="delivery", ending=Ending.PUBLISH_AGAIN, reason=None),
    ),
    TaskState.EXECUTING: (
        Clock(name="run_time", ending=Ending.TIMEOUT, reason=Reason.RUN_TIME),
        Clock(name="lease", ending=Ending.LOSS, reason=Reason.WORKER_LOST),
    ),
}
JOB_CLOCKS: Mapping[JobState, tuple[Clock, ...]] = {
    state: (Clock(name="job", ending=Ending.TIMEOUT, reason=Reason.JOB_TIME),)
    for state in (JobState.ENQUEUED, JobState.EXECUTING)
}

#: Reason of a task that ran past its ``due_at``, by the state it was in.
DUE_REASONS: Mapping[TaskState, Reason] = {
    TaskState.ENQUEUED: Reason.QUEUE_WAIT,
    TaskState.EXECUTING: Reason.RUN_TIME,
}

#: Reading ``reports`` stood still when two canaries lie further apart than this. Three
#: seconds are six ticks: jitter of a busy machine is not a gap.
GAP = timedelta(seconds=3)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskLimits:
    """The clocks and the budget of one worker's tasks; seconds."""

    run_seconds: float = 120.0
    run_grace_seconds: float = 5.0
    queue_wait_seconds: float = 43_200.0
    max_losses: int = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Watermark:
    """
    How far ``reports`` has been read.

    ``at``: everything reported before it has been applied. ``gap_ended_at``: when the
    last stand-still of reading ended; silence is counted from there.
    """

    at: datetime
    gap_ended_at: datetime

    def moved_to(self, sent_at: datetime) -> Watermark:
        """Return the watermark after a canary sent at *sent_at*; it never goes back."""
        if sent_at <= self.at:
            return self
        is_gap = sent_at - self.at > GAP
        return Watermark(
            at=sent_at, gap_ended_at=sent_at if is_gap else self.gap_ended_at
        )

    def silent(self, since: datetime, limit: timedelta) -> bool:
        """
        Whether nothing came since *since* for longer than *limit*, of what was read.

        The one rule for published tasks and replicas.
        """
        return self.at > max(since, self.gap_ended_at) + limit

    def horizon(self, limit: timedelta) -> datetime:
        """
        Return the moment before which silence is longer than *limit*.

        ``silent(since, limit)`` is ``since < horizon(limit)``: the same rule, for a
        query. During ``limit`` after a gap nobody is silent.
        """
        if self.at <= self.gap_ended_at + limit:
            return datetime.min.replace(tzinfo=self.at.tzinfo)
        return self.at - limit


def queue_due_at(queued_at: datetime, limits: TaskLimits) -> datetime:
    """Return when a task queued then has waited too long."""
    return queued_at + timedelta(seconds=limits.queue_wait_seconds)


def run_due_at(started_at: datetime, limits: TaskLimits) -> datetime:
    """Return when a task started then has run too long, our grace included."""
    return started_at + timedelta(seconds=limits.run_seconds + limits.run_grace_seconds)
