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
    """What happens when a clock runs out; the history of a task has these words."""

    TIMEOUT = "expired"
    LOSS = "lost"
    PUBLISH_AGAIN = "published_again"


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """
    One clock of a state.

    ``reason``: of the ending. ``settings``: of :class:`TaskLimits`, or of ``Limits``;
    their sum is how long it runs. ``is_stored``: it is what a task's ``due_at`` says.
    """

    ending: Ending
    reason: Reason | None
    settings: tuple[str, ...]
    is_stored: bool = False

    def limit(self, limits: object) -> timedelta:
        """Return how long it runs."""
        return timedelta(seconds=sum(getattr(limits, name) for name in self.settings))


NOBODY_HOME = Clock(
    ending=Ending.TIMEOUT, reason=Reason.NO_WORKER, settings=("no_worker_seconds",)
)
QUEUE_WAIT = Clock(
    ending=Ending.TIMEOUT,
    reason=Reason.QUEUE_WAIT,
    settings=("queue_wait_seconds",),
    is_stored=True,
)
#: Counted in heartbeats, not in seconds: two of every live replica that do not list it.
DELIVERY = Clock(ending=Ending.PUBLISH_AGAIN, reason=None, settings=())
RUN_TIME = Clock(
    ending=Ending.TIMEOUT,
    reason=Reason.RUN_TIME,
    settings=("run_seconds", "run_grace_seconds"),
    is_stored=True,
)
LEASE = Clock(
    ending=Ending.LOSS, reason=Reason.WORKER_LOST, settings=("lease_seconds",)
)
JOB_TIME = Clock(
    ending=Ending.TIMEOUT, reason=Reason.JOB_TIME, settings=("job_seconds",)
)

#: The clocks of every state that is not final. A task, or a job, enters such a state
#: with a ``due_at``, which comes from here: without a clock nobody gets in.
TASK_CLOCKS: Mapping[TaskState, tuple[Clock, ...]] = {
    TaskState.ENQUEUED: (NOBODY_HOME, QUEUE_WAIT, DELIVERY),
    TaskState.EXECUTING: (RUN_TIME, LEASE),
}
JOB_CLOCKS: Mapping[JobState, tuple[Clock, ...]] = {
    JobState.ENQUEUED: (JOB_TIME,),
    JobState.EXECUTING: (JOB_TIME,),
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


def stored_clock(state: TaskState) -> Clock:
    """
    Return the clock that a task's ``due_at`` shows in this state.

    Raises:
        LookupError: The state has none; a bug of ours.
    """
    stored = [clock for clock in TASK_CLOCKS.get(state, ()) if clock.is_stored]
    if len(stored) != 1:
        raise LookupError(f"{state} has {len(stored)} stored clocks, and needs one")
    return stored[0]


def due_at(state: TaskState, since: datetime, limits: TaskLimits) -> datetime:
    """Return when a task that came into this state then is past its stored clock."""
    return since + stored_clock(state).limit(limits)


def job_due_at(state: JobState, since: datetime, limits: object) -> datetime:
    """
    Return when a job that came into this state then is past its own deadline.

    Args:
        limits: ``domain/limits.py``'s, which stands above this file.
    """
    return since + max(clock.limit(limits) for clock in JOB_CLOCKS[state])
