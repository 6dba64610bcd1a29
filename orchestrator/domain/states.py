"""
The task machine: everything that changes the state of a task stands in this file.

First the fence (attempt and holder), then one table, :data:`MOVES`, then the function
that carries a move out on a value. Job states follow from joint task states. Storing
the result is ``flow/settle.py``'s; the diagram in ``docs/`` is drawn from the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from orchestrator.domain.clocks import TaskLimits, queue_due_at, run_due_at
from orchestrator.domain.retry import FREE, RetryDecision, after_loss
from orchestrator.domain.values import JobState, Reason, Task, TaskState


class TaskEvent(StrEnum):
    """What can happen to a task."""

    # Told by the holder.
    EXECUTING = "executing"
    SUCCESS = "success"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    RELEASED = "released"
    # Found by maintenance.
    LOST = "lost"
    EXPIRED = "expired"
    # Commanded.
    CANCELLED = "cancelled"
    RETRIED = "retried"
    #: The third death of this (sample, worker, version) was somebody else's.
    POISONED = "poisoned"


#: Events that a holder tells; the fence applies to these alone.
REPORTED = frozenset(
    {
        TaskEvent.EXECUTING,
        TaskEvent.SUCCESS,
        TaskEvent.FAILED,
        TaskEvent.TIMED_OUT,
        TaskEvent.RELEASED,
    }
)


class Move(StrEnum):
    """What an event does to a task in a state."""

    START = "start"
    SUCCEED = "succeed"
    #: Ends it, or costs a loss: ``domain/retry.py`` decides.
    FAIL = "fail"
    TIME_OUT = "time_out"
    #: Back to the backlog as the next attempt, free of charge.
    RELEASE = "release"
    LOSE = "lose"
    CANCEL = "cancel"
    RETRY = "retry"
    POISON = "poison"
    # Nothing of the state changes below this line.
    STALE = "stale"
    #: The analysis is kept and counts, the state stays.
    LATE = "late"
    DROPPED = "dropped"
    #: A repeat: no change, no complaint.
    SAME = "same"
    #: The caller is told that this can not be.
    REFUSED = "refused"
    #: Nobody may ever ask; a bug of ours.
    ILLEGAL = "illegal"


UNCHANGING = frozenset(
    {Move.STALE, Move.LATE, Move.DROPPED, Move.SAME, Move.REFUSED, Move.ILLEGAL}
)

_OPEN: Mapping[TaskEvent, Move] = {
    TaskEvent.SUCCESS: Move.SUCCEED,
    TaskEvent.FAILED: Move.FAIL,
    TaskEvent.TIMED_OUT: Move.TIME_OUT,
    TaskEvent.RELEASED: Move.RELEASE,
    TaskEvent.EXPIRED: Move.TIME_OUT,
    TaskEvent.CANCELLED: Move.CANCEL,
    TaskEvent.RETRIED: Move.REFUSED,
    TaskEvent.POISONED: Move.POISON,
}
_FINAL: Mapping[TaskEvent, Move] = {
    TaskEvent.EXECUTING: Move.STALE,
    TaskEvent.SUCCESS: Move.STALE,
    TaskEvent.FAILED: Move.STALE,
    TaskEvent.TIMED_OUT: Move.STALE,
    TaskEvent.RELEASED: Move.STALE,
    TaskEvent.LOST: Move.ILLEGAL,
    TaskEvent.EXPIRED: Move.ILLEGAL,
    TaskEvent.CANCELLED: Move.REFUSED,
    TaskEvent.RETRIED: Move.REFUSED,
    TaskEvent.POISONED: Move.ILLEGAL,
}

#: The whole machine. ``LATE`` holds once, after an ending that a clock made; after
#: one that the holder itself reported, or a second time, :func:`move`
#: reads it as ``STALE``.
MOVES: Mapping[TaskState, Mapping[TaskEvent, Move]] = {
    TaskState.ENQUEUED: {
        **_OPEN,
        TaskEvent.EXECUTING: Move.START,
        TaskEvent.LOST: Move.ILLEGAL,
    },
    TaskState.EXECUTING: {
        **_OPEN,
        TaskEvent.EXECUTING: Move.STALE,
        TaskEvent.LOST: Move.LOSE,
    },
    TaskState.SUCCESS: {**_FINAL},
    TaskState.FAILED: {
        **_FINAL,
        TaskEvent.SUCCESS: Move.LATE,
        TaskEvent.RETRIED: Move.RETRY,
    },
    TaskState.TIMEOUT: {
        **_FINAL,
        TaskEvent.SUCCESS: Move.LATE,
        TaskEvent.RETRIED: Move.RETRY,
    },
    TaskState.CANCELLED: {
        **_FINAL,
        TaskEvent.SUCCESS: Move.DROPPED,
        TaskEvent.CANCELLED: Move.SAME,
    },
}

#: Where each changing move leads; FAIL and LOSE may lead to another attempt instead.
LEADS_TO: Mapping[Move, TaskState] = {
    Move.START: TaskState.EXECUTING,
    Move.SUCCEED: TaskState.SUCCESS,
    Move.FAIL: TaskState.FAILED,
    Move.TIME_OUT: TaskState.TIMEOUT,
    Move.RELEASE: TaskState.ENQUEUED,
    Move.LOSE: TaskState.FAILED,
    Move.CANCEL: TaskState.CANCELLED,
    Move.RETRY: TaskState.ENQUEUED,
    Move.POISON: TaskState.FAILED,
}
MAY_LEAD_BACK = frozenset({Move.FAIL, Move.LOSE})
_ENDINGS: Mapping[Move, TaskState] = {
    made: LEADS_TO[made]
    for made in (Move.SUCCEED, Move.TIME_OUT, Move.CANCEL, Move.POISON)
}

#: Failures that say something about the attempt, not about the sample.
_LOSSES = frozenset({Reason.CRASHED, Reason.OUT_OF_MEMORY})
#: Trying again can not mend these, whatever the analyzer says.
_HOPELESS = frozenset({Reason.BAD_RESULT, Reason.UNSUPPORTED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Happening:
    """
    One event with what came with it.

    ``attempt`` and ``reporter`` are set for reported events: they are fenced.
    ``run_time`` is how long the replica says it ran. ``free``: a loss without cost.
    ``actor``: who commanded it, for the history.
    """

    event: TaskEvent
    attempt: int | None = None
    reporter: str | None = None
    reason: Reason | None = None
    message: str | None = None
    recoverable: bool = False
    run_time: timedelta | None = None
    free: bool = False
    actor: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """
    What one event did: the task before and after, and by which move.

    ``lost`` holds when the move used up or gave back an attempt as a loss.
    """

    before: Task
    after: Task
    move: Move
    happening: Happening
    lost: bool = False

    @property
    def ended(self) -> bool:
        """Whether the task reached a final state by this."""
        return self.after.state.is_final and not self.before.state.is_final


def passes_fence(task: Task, happening: Happening) -> bool:
    """Whether the event speaks of the present attempt and comes from its holder."""
    if happening.event not in REPORTED:
        return True
    if happening.attempt != task.attempt:
        return False
    return task.holder is None or task.holder == happening.reporter


def move(task: Task, happening: Happening) -> Move:
    """Look up what the event does to this task: the fence first, then the table."""
    if not passes_fence(task, happening):
        return Move.STALE
    found = MOVES[task.state][happening.event]
    if found is Move.LATE and (task.late or not task.ended_by_clock):
        return Move.STALE
    return found


def change(
    task: Task, happening: Happening, *, limits: TaskLimits, now: datetime
) -> Change:
    """
    Carry an event out on a task.

    Args:
        limits: The worker's clocks and budget, as they are now.
        now: Aware UTC, the transaction's.

    Returns:
        The change. For a move of :data:`UNCHANGING` the task stays the same value, but
        for ``late``, which a late success sets.
    """
    made = move(task, happening)
    after = _after(made, task, happening, limits=limits, now=now)
    lost = made in MAY_LEAD_BACK and _is_loss(happening)
    return Change(before=task, after=after, move=made, happening=happening, lost=lost)


def _after(
    made: Move,
    task: Task,
    happening: Happening,
    *,
    limits: TaskLimits,
    now: datetime,
) -> Task:
    if made in _ENDINGS:
        return _ended(task, happening, state=_ENDINGS[made], now=now)
    match made:
        case Move.START:
            return _started(task, happening, limits=limits, now=now)
        case Move.RELEASE:
            return _next_attempt(task, limits=limits, now=now)
        case Move.RETRY:
            return _next_attempt(task, limits=limits, now=now, losses=0)
        case Move.FAIL | Move.LOSE:
            return _failed(task, happening, limits=limits, now=now)
        case Move.LATE:
            return replace(task, late=True)
        case _:
            return task


def job_state(
    tasks: Iterable[tuple[TaskState, Reason | None]], *, started: bool
) -> JobState:
    """
    Derive a job's state from its tasks' states and reasons.

    Args:
        started: Whether the job has ever left ``enqueued``; it does not go back there.
    """
    present = list(tasks)
    if all(state.is_final for state, _ in present):
        late = any(reason is Reason.JOB_TIME for _, reason in present)
        return JobState.TIMEOUT if late else JobState.DONE
    if started or any(state is not TaskState.ENQUEUED for state, _ in present):
        return JobState.EXECUTING
    return JobState.ENQUEUED


def mermaid() -> str:
    """Draw the machine as a Mermaid state diagram, from the table alone."""
    edges: dict[tuple[TaskState, TaskState], list[str]] = {}
    for state, events in MOVES.items():
        for event, made in events.items():
            if made in UNCHANGING:
                continue
            targets = [LEADS_TO[made]]
            if made in MAY_LEAD_BACK:
                targets.append(TaskState.ENQUEUED)
            for target in targets:
                edges.setdefault((state, target), []).append(event)
    lines = [
        f"    {source} --> {target}: {', '.join(sorted(events))}"
        for (source, target), events in sorted(edges.items())
    ]
    return "\n".join(["stateDiagram-v2", "    [*] --> enqueued", *lines, ""])


def _started(
    task: Task, happening: Happening, *, limits: TaskLimits, now: datetime
) -> Task:
    return replace(
        task,
        state=TaskState.EXECUTING,
        holder=happening.reporter,
        message=happening.message,
        # Given back by mistake while its holder had it: it is in somebody's hands.
        published_at=task.published_at or now,
        started_at=now,
        due_at=run_due_at(now, limits),
    )


def _ended(
    task: Task, happening: Happening, *, state: TaskState, now: datetime
) -> Task:
    return replace(
        task,
        state=state,
        reason=happening.reason,
        message=happening.message or task.message,
        not_before=None,
        holder=task.holder or happening.reporter,
        started_at=task.started_at or _start_by(task, happening, now=now),
        ended_at=now,
        due_at=None,
    )


def _start_by(task: Task, happening: Happening, *, now: datetime) -> datetime | None:
    # The replica's clock may be hours off, its durations are not: count back from the
    # moment of applying, and never to before this attempt was queued.
    if happening.event not in REPORTED or happening.run_time is None:
        return None
    run_time = max(happening.run_time, timedelta(0))
    return max(now - run_time, task.queued_at)


def _next_attempt(
    task: Task,
    *,
    limits: TaskLimits,
    now: datetime,
    losses: int | None = None,
    delay: timedelta = FREE,
) -> Task:
    return replace(
        task,
        state=TaskState.ENQUEUED,
        reason=None,
        message=None,
        attempt=task.attempt + 1,
        losses=task.losses if losses is None else losses,
        holder=None,
        not_before=now + delay if delay else None,
        queued_at=now,
        published_at=None,
        started_at=None,
        ended_at=None,
        due_at=queue_due_at(now, limits),
        late=False,
    )


def _failed(
    task: Task, happening: Happening, *, limits: TaskLimits, now: datetime
) -> Task:
    if not _is_loss(happening):
        return _ended(task, happening, state=TaskState.FAILED, now=now)
    decision: RetryDecision = after_loss(
        losses=task.losses, max_losses=limits.max_losses, free=happening.free
    )
    if decision.again:
        return _next_attempt(
            task, limits=limits, now=now, losses=decision.losses, delay=decision.delay
        )
    ended = _ended(task, happening, state=TaskState.FAILED, now=now)
    return replace(ended, losses=decision.losses)


def _is_loss(happening: Happening) -> bool:
    if happening.event is TaskEvent.LOST or happening.reason in _LOSSES:
        return True
    return happening.recoverable and happening.reason not in _HOPELESS
