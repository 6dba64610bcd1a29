"""
The task machine: everything that changes the state of a task stands in this file.

A task is enqueued, is executed by one worker, and ends in one of four ways. What makes
that hard is that nobody sees the whole of it: a worker's word travels through a queue,
may come twice, late, out of order, from a replica that was given up for dead, or never.
So an event is never believed as it comes. First the *fence* is asked, then one table,
:data:`MOVES`, and then :func:`apply` carries the move out on a value.

**The fence.** Each time a task is given out anew its ``attempt`` grows, and every
report says of which attempt it speaks. The first report of an attempt
makes its replica the *holder*. A report of another attempt, or from another replica, is
*stale*: it changes nothing. That is all it takes for a second copy of a message, a
replica that wakes up after its lease, and two replicas with the same assignment to be
harmless; nothing needs to be delivered exactly once.

**Late.** A clock ends a task because nothing was heard for long enough, which is no
proof that nothing was done. A success that comes after such an ending is worth having:
the analysis is kept and the verdict rolled again, while the state stays what it was, so
that an ending, once seen, never changes back. It counts once; and only after a clock,
for a holder that has reported its own failure has nothing to add.

**Dropped.** Whoever cancelled a task said that its result is not wanted. A success that
comes afterwards is noted and not kept.

**Losses.** An attempt that crashed, ran out of memory, fell silent or asked to be tried
again says something about the attempt, and maybe something about the sample. It is
tried again with a back-off until the budget is used up, and ends with its own reason
then. What was the service's fault, not the sample's, costs no budget (``free``); a
replica that stops in order, or cannot do what is asked, gives its attempts back
(``released``), which costs nothing either; time and again it takes longer and longer.

Job states follow from the joint states of a job's tasks. Storing what came out of all
this is ``flow/settle.py``'s; the diagram in ``docs/`` is drawn from the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from orchestrator.domain.clocks import TaskLimits, due_at
from orchestrator.domain.retry import FREE, RetryDecision, after_loss, after_release
from orchestrator.domain.values import JobState, Reason, Task, TaskState


class EventKind(StrEnum):
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


#: Events that a holder tells. ``failed`` is also how an open task of a sample ends that
#: another task of this worker died of.
REPORTED = frozenset(
    {
        EventKind.EXECUTING,
        EventKind.SUCCESS,
        EventKind.FAILED,
        EventKind.TIMED_OUT,
        EventKind.RELEASED,
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

_OPEN: Mapping[EventKind, Move] = {
    EventKind.SUCCESS: Move.SUCCEED,
    EventKind.FAILED: Move.FAIL,
    EventKind.TIMED_OUT: Move.TIME_OUT,
    EventKind.RELEASED: Move.RELEASE,
    EventKind.EXPIRED: Move.TIME_OUT,
    EventKind.CANCELLED: Move.CANCEL,
    EventKind.RETRIED: Move.REFUSED,
}
_FINAL: Mapping[EventKind, Move] = {
    EventKind.EXECUTING: Move.STALE,
    EventKind.SUCCESS: Move.STALE,
    EventKind.FAILED: Move.STALE,
    EventKind.TIMED_OUT: Move.STALE,
    EventKind.RELEASED: Move.STALE,
    EventKind.LOST: Move.ILLEGAL,
    EventKind.EXPIRED: Move.ILLEGAL,
    EventKind.CANCELLED: Move.REFUSED,
    EventKind.RETRIED: Move.REFUSED,
}

#: The whole machine. ``LATE`` holds once, after an ending that a clock made; after
#: one that the holder itself reported, or a second time, :func:`move_for`
#: reads it as ``STALE``.
MOVES: Mapping[TaskState, Mapping[EventKind, Move]] = {
    TaskState.ENQUEUED: {
        **_OPEN,
        EventKind.EXECUTING: Move.START,
        EventKind.LOST: Move.ILLEGAL,
    },
    TaskState.EXECUTING: {
        **_OPEN,
        EventKind.EXECUTING: Move.STALE,
        EventKind.LOST: Move.LOSE,
    },
    TaskState.SUCCESS: {**_FINAL},
    TaskState.FAILED: {
        **_FINAL,
        EventKind.SUCCESS: Move.LATE,
        EventKind.RETRIED: Move.RETRY,
    },
    TaskState.TIMEOUT: {
        **_FINAL,
        EventKind.SUCCESS: Move.LATE,
        EventKind.RETRIED: Move.RETRY,
    },
    TaskState.CANCELLED: {
        **_FINAL,
        EventKind.SUCCESS: Move.DROPPED,
        EventKind.CANCELLED: Move.SAME,
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
}
MAY_LEAD_BACK = frozenset({Move.FAIL, Move.LOSE})
_ENDINGS: Mapping[Move, TaskState] = {
    move: LEADS_TO[move] for move in (Move.SUCCEED, Move.TIME_OUT, Move.CANCEL)
}

#: Failures that say something about the attempt, not about the sample.
_LOSSES = frozenset({Reason.CRASHED, Reason.OUT_OF_MEMORY})
#: Trying again can not mend these, whatever the analyzer says.
_HOPELESS = frozenset({Reason.BAD_RESULT, Reason.UNSUPPORTED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """
    One event with what came with it.

    ``attempt`` and ``reporter`` are set for what a holder tells: it is fenced.
    ``run_time`` is how long the replica says it ran. ``free``: a loss without cost.
    ``actor``: who commanded it, for the history.
    """

    kind: EventKind
    attempt: int | None = None
    reporter: str | None = None
    reason: Reason | None = None
    message: str | None = None
    recoverable: bool = False
    run_time: timedelta | None = None
    free: bool = False
    actor: str | None = None

    @property
    def is_reported(self) -> bool:
        """Whether a holder tells it, so that it has to pass the fence."""
        return self.kind in REPORTED and self.reporter is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """
    What one event did: the task before and after, and by which move.

    ``lost`` holds when the move used up or gave back an attempt as a loss.
    """

    before: Task
    after: Task
    move: Move
    event: Event
    lost: bool = False

    @property
    def ended(self) -> bool:
        """Whether the task reached a final state by this."""
        return self.after.state.is_final and not self.before.state.is_final


def passes_fence(task: Task, event: Event) -> bool:
    """Whether the event speaks of the present attempt and comes from its holder."""
    if not event.is_reported:
        return True
    if event.attempt != task.attempt:
        return False
    return task.holder is None or task.holder == event.reporter


def move_for(task: Task, event: Event) -> Move:
    """Look up what the event does to this task: the fence first, then the table."""
    if not passes_fence(task, event):
        return Move.STALE
    found = MOVES[task.state][event.kind]
    if found is Move.LATE and (task.late or not task.ended_by_clock):
        return Move.STALE
    return found


def apply(task: Task, event: Event, *, limits: TaskLimits, now: datetime) -> Change:
    """
    Carry an event out on a task.

    Args:
        limits: The worker's clocks and budget, as they are now.
        now: Aware UTC, the transaction's.

    Returns:
        The change. For a move of :data:`UNCHANGING` the task stays the same value, but
        for ``late``, which a late success sets.
    """
    move = move_for(task, event)
    after = _after(move, task, event, limits=limits, now=now)
    lost = move in MAY_LEAD_BACK and _is_loss(event)
    return Change(before=task, after=after, move=move, event=event, lost=lost)


def _after(
    move: Move,
    task: Task,
    event: Event,
    *,
    limits: TaskLimits,
    now: datetime,
) -> Task:
    if move in _ENDINGS:
        return _ended(task, event, state=_ENDINGS[move], now=now)
    match move:
        case Move.START:
            return _started(task, event, limits=limits, now=now)
        case Move.RELEASE:
            delay = after_release(before=task.attempt - 1 - task.losses)
            return _next_attempt(task, limits=limits, now=now, delay=delay)
        case Move.RETRY:
            return _next_attempt(task, limits=limits, now=now, losses=0)
        case Move.FAIL | Move.LOSE:
            return _failed(task, event, limits=limits, now=now)
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
        for kind, move in events.items():
            if move in UNCHANGING:
                continue
            targets = [LEADS_TO[move]]
            if move in MAY_LEAD_BACK:
                targets.append(TaskState.ENQUEUED)
            for target in targets:
                edges.setdefault((state, target), []).append(kind)
    lines = [
        f"    {source} --> {target}: {', '.join(sorted(events))}"
        for (source, target), events in sorted(edges.items())
    ]
    return "\n".join(["stateDiagram-v2", "    [*] --> enqueued", *lines, ""])


def _started(task: Task, event: Event, *, limits: TaskLimits, now: datetime) -> Task:
    return replace(
        task,
        state=TaskState.EXECUTING,
        holder=event.reporter,
        message=event.message,
        # Given back by mistake while its holder had it: it is in somebody's hands.
        published_at=task.published_at or now,
        started_at=now,
        due_at=due_at(TaskState.EXECUTING, now, limits),
    )


def _ended(task: Task, event: Event, *, state: TaskState, now: datetime) -> Task:
    return replace(
        task,
        state=state,
        reason=event.reason,
        message=event.message or task.message,
        not_before=None,
        holder=task.holder or event.reporter,
        started_at=task.started_at or _start_by(task, event, now=now),
        ended_at=now,
        due_at=None,
    )


def _start_by(task: Task, event: Event, *, now: datetime) -> datetime | None:
    # The replica's clock may be hours off, its durations are not: count back from the
    # moment of applying, and never to before this attempt was queued.
    if not event.is_reported or event.run_time is None:
        return None
    run_time = max(event.run_time, timedelta(0))
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
        due_at=due_at(TaskState.ENQUEUED, now, limits),
        late=False,
    )


def _failed(task: Task, event: Event, *, limits: TaskLimits, now: datetime) -> Task:
    if not _is_loss(event):
        return _ended(task, event, state=TaskState.FAILED, now=now)
    decision: RetryDecision = after_loss(
        losses=task.losses, max_losses=limits.max_losses, free=event.free
    )
    if decision.again:
        return _next_attempt(
            task, limits=limits, now=now, losses=decision.losses, delay=decision.delay
        )
    ended = _ended(task, event, state=TaskState.FAILED, now=now)
    return replace(ended, losses=decision.losses)


def _is_loss(event: Event) -> bool:
    if event.kind is EventKind.LOST or event.reason in _LOSSES:
        return True
    return event.recoverable and event.reason not in _HOPELESS
