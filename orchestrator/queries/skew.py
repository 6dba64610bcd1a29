"""
Whose clock is wrong: nothing here compares times of two hosts, but people do.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, select

from orchestrator.db.tables import replica
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.service_time import SKEW_WARN


def list_skewed(tx: Transaction, *, lease: timedelta) -> list[tuple[str, timedelta]]:
    """Return the living replicas whose clock is off, and how far ahead it is."""
    rows = tx.connection.execute(
        select(replica.c.id, replica.c.skew_seconds)
        .where(
            replica.c.seen_at >= tx.now - lease,
            replica.c.leaving.is_(False),
            func.abs(replica.c.skew_seconds) >= SKEW_WARN.total_seconds(),
        )
        .order_by(replica.c.id)
    )
    return [(row.id, timedelta(seconds=row.skew_seconds)) for row in rows]
