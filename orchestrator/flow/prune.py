"""
Removes what is old, in small transactions; whatever is left waits for the next round.

Finished jobs go with their tasks and verdicts. What stays is what later jobs count
with: a sample's current verdict, and of each worker its newest analysis.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from orchestrator.db import retention, sweeps
from orchestrator.db.unit_of_work import Database, Transaction
from orchestrator.domain.limits import Retention

#: At most so many per transaction, so that none holds a lock for long.
_JOBS = 200
_ROWS = 2_000

#: Transactions per round and kind: a round must not hold up the tick.
_BATCHES = 5

#: Keys of repeats, and what nobody asks for once it is over.
_IDEMPOTENCY = timedelta(days=7)
_LEFTOVERS = timedelta(days=1)

#: Not before they have stopped to count: ``catalog/challenges.py``.
_WRONG_ANSWERS = timedelta(days=31)


def prune(database: Database, kept: Retention) -> int:
    """
    Do one round.

    Returns:
        How many jobs and rows were removed.

    Raises:
        OperationalError: The database is away; what was removed stays so.
    """
    ages = {
        "task_event": kept.events,
        "rejected_report": kept.rejected,
        "audit": kept.audit,
        "challenge": _LEFTOVERS,
        "console_session": _LEFTOVERS,
        "wrong_answer": _WRONG_ANSWERS,
        "pulse": _LEFTOVERS,
        "replica": _LEFTOVERS,
        "webhook_delivery": kept.events,
    }
    removed = _rounds(database, lambda tx: _prune_jobs(tx, kept.jobs), batch=_JOBS)
    removed += _rounds(database, _forget_keys, batch=_ROWS)
    removed += _rounds(database, _delete_submissions, batch=_ROWS)
    for table, age in ages.items():
        removed += _rounds(database, _older(table, age), batch=_ROWS)
    return removed


def _rounds(
    database: Database, remove: Callable[[Transaction], int], *, batch: int
) -> int:
    total = 0
    for _ in range(_BATCHES):
        with database.uow() as tx:
            # Somebody else is at it: two would only wait for each other.
            if not sweeps.try_lock_sweep(tx, "prune"):
                return total
            removed = remove(tx)
        total += removed
        if removed < batch:
            break
    return total


def _prune_jobs(tx: Transaction, age: timedelta) -> int:
    job_ids = retention.lock_old_jobs(tx, before=tx.now - age, limit=_JOBS)
    if job_ids:
        retention.delete_jobs(tx, job_ids)
    return len(job_ids)


def _forget_keys(tx: Transaction) -> int:
    before = tx.now - _IDEMPOTENCY
    return retention.forget_idempotency_keys(tx, before=before, limit=_ROWS)


def _delete_submissions(tx: Transaction) -> int:
    return retention.delete_expired_submissions(tx, limit=_ROWS)


def _older(table: str, age: timedelta) -> Callable[[Transaction], int]:
    return lambda tx: retention.delete_rows(tx, table, before=tx.now - age, limit=_ROWS)
