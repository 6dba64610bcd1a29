"""
The one row that says how far ``reports`` has been read, and who reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, update

from orchestrator.db.tables import stream
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.clocks import Watermark

#: Readiness asks in units of fifteen seconds.
_DISPATCHED_EVERY = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """``canary_at``: when a canary was applied last; ``dispatched_at``: last turn."""

    watermark: Watermark
    canary_at: datetime
    dispatched_at: datetime


def get_stream(tx: Transaction) -> Stream:
    """Return how things stand, without a lock."""
    row = tx.connection.execute(select(stream)).one()
    return Stream(
        watermark=Watermark(at=row.watermark_at, gap_ended_at=row.gap_ended_at),
        canary_at=row.canary_at,
        dispatched_at=row.dispatched_at,
    )


def move_watermark(tx: Transaction, sent_at: datetime) -> None:
    """
    Apply a canary that was sent then; the watermark never goes back, nor beyond now: a
    process that has just begun may have sent one from behind a jump of the clock.
    """
    row = tx.connection.execute(select(stream).with_for_update()).one()
    present = Watermark(at=row.watermark_at, gap_ended_at=row.gap_ended_at)
    moved = present.moved_to(min(sent_at, tx.now))
    tx.connection.execute(
        update(stream).values(
            watermark_at=moved.at,
            gap_ended_at=moved.gap_ended_at,
            canary_at=tx.now if tx.is_witness else stream.c.canary_at,
        )
    )


def open_gap(tx: Transaction) -> None:
    """Note that reading stood still until now: nobody pays for what it lost."""
    newest = func.greatest(stream.c.gap_ended_at, tx.now)
    tx.connection.execute(update(stream).values(gap_ended_at=newest))


def get_deployment(tx: Transaction) -> str:
    """Return eight characters that tell this deployment from others."""
    found = tx.connection.execute(select(stream.c.deployment)).scalar_one()
    return str(found)[:8]


def mark_dispatched(tx: Transaction) -> None:
    """Say that a dispatcher had its turn; once a second is often enough to know."""
    if not tx.is_witness:
        return
    tx.connection.execute(
        update(stream)
        .where(stream.c.dispatched_at < tx.now - _DISPATCHED_EVERY)
        .values(dispatched_at=tx.now)
    )


def next_epoch(tx: Transaction) -> int:
    """Begin the next consumer's turn; its number is above all before it."""
    statement = update(stream).values(epoch=stream.c.epoch + 1)
    return int(tx.connection.execute(statement.returning(stream.c.epoch)).scalar_one())
