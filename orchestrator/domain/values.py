"""
The words of the domain as types.

Owns the enumerations that the API, the database and the messages share; no rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class TaskState(StrEnum):
    """State of one worker's part of a job; exactly the values of API and database."""

    ENQUEUED = "enqueued"
    EXECUTING = "executing"
    SUCCESS = "success"
    FAILED = "failed"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing but a retry leaves this state."""
        return self not in {TaskState.ENQUEUED, TaskState.EXECUTING}


class JobState(StrEnum):
    """State of a job, derived from its tasks."""

    ENQUEUED = "enqueued"
    EXECUTING = "executing"
    DONE = "done"
    TIMEOUT = "timeout"

    @property
    def is_final(self) -> bool:
        """Whether the job is over."""
        return self in {JobState.DONE, JobState.TIMEOUT}


class Reason(StrEnum):
    """Why a task ended as it did; shown to people, counted by metrics."""

    #: The analyzer raised.
    ERROR = "error"
    #: The analyzer returned something that is not a valid analysis.
    BAD_RESULT = "bad_result"
    #: The analyzer's process died.
    CRASHED = "crashed"
    OUT_OF_MEMORY = "out_of_memory"
    #: The analyzer says that it can not look at this kind of sample.
    UNSUPPORTED = "unsupported"
    #: The replica fell silent, or no longer has the attempt in hand.
    WORKER_LOST = "worker_lost"
    #: Nobody was home: no live replica for too long.
    NO_WORKER = "no_worker"
    QUEUE_WAIT = "queue_wait"
    RUN_TIME = "run_time"
    #: The job's own deadline.
    JOB_TIME = "job_time"
    #: This version of the worker dies of this sample, time and again.
    POISON = "poison"
    #: Cancelled by a command.
    CANCELLED = "cancelled"
    WORKER_DISABLED = "worker_disabled"
    #: The sample's bytes are not in the store.
    SAMPLE_MISSING = "sample_missing"


#: Endings that say nothing of the sample but that something died of it, or beside it.
DEATH_REASONS = frozenset({Reason.CRASHED, Reason.OUT_OF_MEMORY, Reason.WORKER_LOST})

#: Endings that a clock made, not a replica: a success after one of them is kept, late.
CLOCK_REASONS = frozenset(
    {
        Reason.WORKER_LOST,
        Reason.NO_WORKER,
        Reason.QUEUE_WAIT,
        Reason.RUN_TIME,
        Reason.JOB_TIME,
    }
)


class Decider(StrEnum):
    """Who said what kind of file a sample is."""

    RULES = "rules"
    MAGIKA = "magika"
    PERSON = "person"


class Role(StrEnum):
    """What a user may do; each role includes those before it."""

    VIEWER = "viewer"
    UPLOADER = "uploader"
    USER = "user"
    ANALYZER = "analyzer"
    ADMINISTRATOR = "administrator"

    def includes(self, other: Role) -> bool:
        """Whether a user of this role may do what *other* may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class Actor:
    """
    Who does something by hand, for the history and the audit trail.

    ``name``: ``user <name>`` over HTTP, ``console <account>`` on the machine itself.
    ``source``: the client's address; ``None`` on the machine itself. ``user_id``: of
    the API's user, where it is one.
    """

    name: str
    source: str | None = None
    user_id: UUID | None = None


#: Holders that speak HTTP have no lease: the run time is their only clock.
HTTP_HOLDER_PREFIX = "http:"


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """
    One worker's part of a job, as the rules see it.

    ``attempt`` fences: only grows. ``losses`` counts against ``max_losses``.
    ``holder`` is the replica, or ``http:<key>``, to which the attempt belongs.
    Times are aware UTC, the database's.
    """

    id: UUID
    job_id: UUID
    worker_id: UUID
    sample_sha256: str
    state: TaskState
    reason: Reason | None = None
    message: str | None = None
    attempt: int = 1
    losses: int = 0
    holder: str | None = None
    not_before: datetime | None = None
    queued_at: datetime
    published_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    due_at: datetime | None = None
    late: bool = False

    @property
    def ended_by_clock(self) -> bool:
        """Whether a clock ended this task, so that a late success still counts."""
        return self.state.is_final and self.reason in CLOCK_REASONS

    @property
    def is_held_over_http(self) -> bool:
        """Whether the holder only speaks HTTP: no lease, only the run time."""
        return (self.holder or "").startswith(HTTP_HOLDER_PREFIX)
