"""
Asks of every published attempt: is it in somebody's hands? If not, it moves on.

An executing one becomes a loss; one that never started goes back to the backlog as the
same attempt. A false alarm is a second copy, which the holder rule makes harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from orchestrator.db import history, poison, stream, sweeps, tasks
from orchestrator.db.poison import Death
from orchestrator.db.sweeps import Lost
from orchestrator.db.unit_of_work import (
    Database,
    StatementFailedError,
    StatementTimeoutError,
    Transaction,
)
from orchestrator.domain.clocks import DELIVERY, LEASE, Watermark
from orchestrator.domain.retry import ALONE_AFTER_LOSSES
from orchestrator.domain.states import Change, Event, EventKind, apply
from orchestrator.domain.values import Reason, Task, TaskState
from orchestrator.flow.cancel import cancel_disabled
from orchestrator.flow.ports import Engine
from orchestrator.flow.roster import Roster, read_roster
from orchestrator.flow.settle import settle

_LIMIT = 500

#: Seconds for one worker's part: the next tick's canary has to go out within three.
_PATIENCE_SECONDS = 1.0

#: Short names → messages waiting in each worker's queue.
Depths = Callable[[Sequence[str]], Mapping[str, int]]


def recover(database: Database, *, engine: Engine, depths: Depths) -> int:
    """
    Move on what nobody holds.

    Args:
        depths: Asks the broker how many messages wait in the queues of these workers.

    Returns:
        How many attempts were moved on.

    Raises:
        OperationalError: The database is away; safe to retry.
        BrokerUnavailableError: From *depths*; losses were applied already.
    """
    with database.uow() as tx:
        moved = _recover_executing(tx, engine=engine)
        disabled = sweeps.find_disabled_tasks(tx, limit=_LIMIT)
        cancel_disabled(tx, disabled, engine=engine, actor="maintenance")
        waiting = sweeps.find_deliveries(tx)
        asked_at = tx.now
    if not waiting:
        return moved
    counts = depths([delivery.short_name for delivery in waiting])
    empty = {
        delivery.worker_id: asked_at
        for delivery in waiting
        if counts[delivery.short_name] == 0
    }
    workers = [delivery.worker_id for delivery in waiting]
    return moved + _recover_published(database, workers, empty, engine=engine)


def _recover_executing(tx: Transaction, *, engine: Engine) -> int:
    if not sweeps.try_lock_sweep(tx, "recover"):
        return 0
    watermark = stream.get_stream(tx).watermark
    lost = {
        attempt.task_id: attempt
        for attempt in sweeps.find_lost(
            tx, watermark, lease=LEASE.limit(engine.limits), limit=_LIMIT
        )
    }
    if not lost:
        return 0
    roster = read_roster(tx, engine)
    locked = tasks.find_free_tasks_for_update(tx, lost)
    changes = [
        _lose(tx, task, lost[task.id], watermark, roster=roster)
        for task in locked.values()
        if task.state is TaskState.EXECUTING and task.attempt == lost[task.id].attempt
    ]
    settle(tx, changes, bands=engine.limits.bands)
    return len(changes)


def _lose(
    tx: Transaction, task: Task, lost: Lost, watermark: Watermark, *, roster: Roster
) -> Change:
    # Its report may have been in what was lost while nobody read: our fault.
    free = lost.heard_at < watermark.gap_ended_at
    event = Event(
        kind=EventKind(LEASE.ending),
        reason=LEASE.reason,
        message=f"{task.holder} fell silent, or let go of the attempt without a report",
        free=free,
        actor="lease",
    )
    if not free and lost.ran_alone and _convict(tx, task, lost):
        event = Event(
            kind=EventKind.FAILED,
            reason=Reason.POISON,
            message=f"{task.holder} fell silent, and ran nothing else",
            actor="lease",
        )
    limits = roster.limits[task.worker_id]
    return apply(task, event, limits=limits, now=tx.now)


def _convict(tx: Transaction, task: Task, lost: Lost) -> bool:
    """Whether the replica died of this sample, and others did before: it is poison."""
    death = Death(
        sample_sha256=task.sample_sha256,
        worker_id=task.worker_id,
        version=lost.version or "",
    )
    # One that merely had nothing else to do at the time is not evidence enough.
    losses = poison.count_losses(tx, task.id)
    if losses < ALONE_AFTER_LOSSES and not poison.is_suspected(tx, death):
        return False
    poison.count_death(tx, death)
    return poison.is_poison(tx, death)


def _recover_published(
    database: Database,
    workers: Sequence[UUID],
    empty: Mapping[UUID, datetime],
    *,
    engine: Engine,
) -> int:
    """
    Give back what was published to these workers and is in nobody's hands.

    Args:
        empty: Worker id → when its queue was seen to be empty.
    """
    with database.uow() as tx:
        if not sweeps.try_lock_sweep(tx, "deliver"):
            return 0
        sweeps.take_no_longer(tx, _PATIENCE_SECONDS)
        alive_after = stream.get_stream(tx).watermark.horizon(engine.limits.lease)
        return sum(
            _recover_worker(tx, worker_id, empty, alive_after) for worker_id in workers
        )


def _recover_worker(
    tx: Transaction, worker_id: UUID, empty: Mapping[UUID, datetime], alive: datetime
) -> int:
    # One by one: if its replicas list too much, that is one worker's trouble.
    try:
        with tx.savepoint():
            sweeps.note_drained(tx, empty, [worker_id], alive_after=alive)
            return _give_back(tx, worker_id, alive)
    except (StatementTimeoutError, StatementFailedError):
        return 0


def _give_back(tx: Transaction, worker_id: UUID, alive_after: datetime) -> int:
    given = sweeps.unpublish_undelivered(
        tx, [worker_id], alive_after=alive_after, limit=_LIMIT
    )
    history.add_events(
        tx,
        [
            history.NewEvent(
                task_id=task_id,
                job_id=job_id,
                attempt=attempt,
                kind=DELIVERY.ending.value,
                reason=None,
                actor="delivery",
                message="it was in nobody's hands",
            )
            for task_id, job_id, attempt in given
        ],
    )
    if given:
        tx.notify("work")
    return len(given)
