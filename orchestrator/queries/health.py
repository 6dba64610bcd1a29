"""
Whether the system is able to do its work: facts from the database, what is missing.

It changes nothing, restarts nothing and asks no broker.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, select, text

from orchestrator.contracts.foreign import ForeignQueue
from orchestrator.db import migrate
from orchestrator.db.queues import list_foreign
from orchestrator.db.states import ENQUEUED
from orchestrator.db.tables import stream
from orchestrator.db.unit_of_work import Database, Transaction

#: Ticks come twice a second; ten of them without a canary applied is not jitter.
CANARY_MAX = timedelta(seconds=5)

#: The dispatcher has its turn at least every tick, longer when the broker is slow.
DISPATCH_MAX = timedelta(seconds=15)


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """One thing that is not as it should be; ``remedy`` says what to start or run."""

    what: str
    detail: str
    remedy: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """
    ``missing``: what keeps jobs from moving. ``troubles``: what keeps the tasks of one
    worker from it, and nobody else's; or keeps people from seeing something.
    """

    missing: tuple[Missing, ...]
    troubles: tuple[Missing, ...] = ()


def examine(database: Database, *, lease: timedelta) -> Health:
    """Return everything that is not as it should be."""
    with database.engine.connect() as connection:
        unusable = find_unusable(connection)
    if unusable:
        return Health(missing=unusable)
    with database.uow() as tx:
        return look(tx, lease=lease)


def look(tx: Transaction, *, lease: timedelta) -> Health:
    """Return what is not as it should be though the database is well."""
    foreign = list_foreign(tx)
    return Health(
        missing=(
            *(_queue(queue) for queue in foreign if queue.stops_everybody),
            *_canary(tx),
            *_dispatch(tx, lease=lease),
        ),
        troubles=tuple(_queue(queue) for queue in foreign if not queue.stops_everybody),
    )


def _queue(queue: ForeignQueue) -> Missing:
    return Missing(
        what=queue.what,
        detail=f"it has {queue.present}, not {queue.wanted}",
        remedy=queue.remedy,
    )


def find_unusable(connection: Connection) -> tuple[Missing, ...]:
    """
    Return why the database is not one to work with.

    Against another schema, or where nothing can be written, all other questions would
    only fail, or tell of what follows from it.
    """
    return _writes(connection) or _migrations(connection)


def _writes(connection: Connection) -> tuple[Missing, ...]:
    setting = text("SELECT current_setting('transaction_read_only')")
    if connection.execute(setting).scalar_one() == "off":
        return ()
    return (
        Missing(
            what="database",
            detail="it takes no writes: a standby, or default_transaction_read_only",
            remedy="let ASSAY_DATABASE_URL lead to the primary",
        ),
    )


def _migrations(connection: Connection) -> tuple[Missing, ...]:
    at, newest = migrate.current_revision(connection), migrate.head_revision()
    if at == newest:
        return ()
    return (
        Missing(
            what="migrations",
            detail=f"the database is at {at or 'nothing'}, the code at {newest}",
            remedy="run: assay db upgrade",
        ),
    )


def _canary(tx: Transaction) -> tuple[Missing, ...]:
    seen = tx.connection.execute(select(stream.c.canary_at)).scalar_one_or_none()
    if seen is not None and tx.now - seen <= CANARY_MAX:
        return ()
    since = f"for {_seconds(tx.now - seen)} s" if seen is not None else "ever"
    return (
        Missing(
            what="reports",
            detail=f"no canary has come through the queue 'reports' {since}",
            remedy="see that the broker, beat, maintenance and a consumer run",
        ),
    )


def _dispatch(tx: Transaction, *, lease: timedelta) -> tuple[Missing, ...]:
    seen = tx.connection.execute(select(stream.c.dispatched_at)).scalar_one_or_none()
    if seen is not None and tx.now - seen <= DISPATCH_MAX:
        return ()
    waiting = _waiting_workers(tx, lease=lease)
    if not waiting:
        return ()
    since = f"for {_seconds(tx.now - seen)} s" if seen is not None else "ever"
    return (
        Missing(
            what="dispatcher",
            detail=f"nothing was dispatched {since}, and {', '.join(waiting)} waits",
            remedy="see that a dispatcher and the broker run",
        ),
    )


def _waiting_workers(tx: Transaction, *, lease: timedelta) -> list[str]:
    rows = tx.connection.execute(
        text(
            f"""
            SELECT w.short_name FROM worker w
             WHERE w.paused_at IS NULL AND w.deleted_at IS NULL
               AND EXISTS (SELECT 1 FROM replica r WHERE r.worker_id = w.id
                            AND r.seen_at >= :alive_after AND NOT r.leaving
                            AND r.draining_at IS NULL)
               AND EXISTS (SELECT 1 FROM job_task t WHERE t.worker_id = w.id
                            AND t.state = {ENQUEUED} AND t.published_at IS NULL
                            AND (t.not_before IS NULL OR t.not_before <= :now))
             ORDER BY w.short_name
            """
        ),
        {"alive_after": tx.now - lease, "now": tx.now},
    )
    return list(rows.scalars())


def _seconds(duration: timedelta) -> int:
    return int(duration.total_seconds())
