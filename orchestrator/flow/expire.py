"""
Ends what has run past a clock: tasks, and the tasks of jobs past their deadline.

Candidates are found without a lock, locked in the one order leaving out what somebody
else holds, and checked again. Whoever is left out is there again in the next tick.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from orchestrator.db import jobs, poison, stream, sweeps, tasks
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.clocks import (
    JOB_TIME,
    NOBODY_HOME,
    Clock,
    TaskLimits,
    Watermark,
    stored_clock,
)
from orchestrator.domain.states import Change, Event, EventKind, apply
from orchestrator.domain.values import Reason, Task, TaskState
from orchestrator.flow.ports import Engine
from orchestrator.flow.settle import settle

#: At most this many per clock and transaction; the next one goes on.
_LIMIT = 500

#: Jobs whose open tasks end in one transaction: each has as many as there are workers.
_JOB_LIMIT = 50

#: Who ends them, for the history.
_ACTOR = "clock"

#: Expiring needs no limits: it starts no clock.
_NO_LIMITS = TaskLimits()


def expire(tx: Transaction, *, engine: Engine) -> int:
    """
    Apply every clock that the watermark has passed, once.

    Returns:
        How many tasks were ended.
    """
    if not sweeps.try_lock_sweep(tx, "expire"):
        return 0
    watermark = stream.get_stream(tx).watermark
    sweeps.update_homes(tx, alive_after=watermark.horizon(engine.limits.lease))
    ended = _expire_tasks(tx, watermark, engine=engine)
    ended += _expire_homeless(tx, watermark, engine=engine)
    ended += _expire_poisoned(tx, engine=engine)
    return ended + _expire_jobs(tx, watermark, engine=engine)


def _expire_tasks(tx: Transaction, watermark: Watermark, *, engine: Engine) -> int:
    found = sweeps.find_due_tasks(tx, watermark, limit=_LIMIT)
    locked = tasks.find_free_tasks_for_update(tx, found)
    due = [task for task in locked.values() if _is_due(task, watermark)]
    changes = [_expire(tx, task, stored_clock(task.state)) for task in due]
    settle(tx, changes, bands=engine.limits.bands)
    return len(changes)


def _is_due(task: Task, watermark: Watermark) -> bool:
    if task.state.is_final or task.due_at is None or task.due_at > watermark.at:
        return False
    if task.published_at is None:
        return True
    started = task.started_at if task.state is TaskState.EXECUTING else None
    since = started or task.queued_at
    return watermark.silent(since, task.due_at - since)


def _expire_homeless(tx: Transaction, watermark: Watermark, *, engine: Engine) -> int:
    before = watermark.horizon(NOBODY_HOME.limit(engine.limits))
    found = sweeps.find_homeless_tasks(tx, since_before=before, limit=_LIMIT)
    locked = tasks.find_free_tasks_for_update(tx, found)
    changes = [
        _expire(tx, task, NOBODY_HOME)
        for task in locked.values()
        if task.state is TaskState.ENQUEUED and task.queued_at < before
    ]
    settle(tx, changes, bands=engine.limits.bands)
    return len(changes)


def _expire_poisoned(tx: Transaction, *, engine: Engine) -> int:
    found = poison.find_poisoned_tasks(tx, limit=_LIMIT)
    ending = Event(kind=EventKind.FAILED, reason=Reason.POISON, actor=_ACTOR)
    return _end_open(tx, found, ending, engine=engine)


def _expire_jobs(tx: Transaction, watermark: Watermark, *, engine: Engine) -> int:
    due = jobs.find_due(tx, before=watermark.at, limit=_JOB_LIMIT)
    found = tasks.find_task_ids(tx, due)
    return _end_open(tx, found, _expiry(JOB_TIME), engine=engine)


def _end_open(
    tx: Transaction, ids: Iterable[UUID], event: Event, *, engine: Engine
) -> int:
    locked = tasks.find_free_tasks_for_update(tx, ids)
    changes = [
        apply(task, event, limits=_NO_LIMITS, now=tx.now)
        for task in locked.values()
        if not task.state.is_final
    ]
    settle(tx, changes, bands=engine.limits.bands)
    return len(changes)


def _expire(tx: Transaction, task: Task, clock: Clock) -> Change:
    return apply(task, _expiry(clock), limits=_NO_LIMITS, now=tx.now)


def _expiry(clock: Clock) -> Event:
    return Event(kind=EventKind(clock.ending), reason=clock.reason, actor=_ACTOR)
