"""
Reading what the service did in the last minutes, as the tick has written it down.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy import Row, select

from orchestrator.db.tables import pulse
from orchestrator.db.unit_of_work import Transaction

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Minute:
    """
    What happened from one row to the next, a minute: how many tasks were created and
    ended, and how many of those failed or timed out. ``oldest_seconds``: the age of the
    oldest open task at its end.
    """

    at: datetime
    enqueued: float
    ended: float
    failed: float
    oldest_seconds: float
    slots: int


def list_minutes(tx: Transaction, *, since: datetime) -> tuple[Minute, ...]:
    """Return the minutes since then, oldest first; some may be missing."""
    rows = tx.connection.execute(
        select(pulse).where(pulse.c.at >= since).order_by(pulse.c.at)
    ).all()
    return tuple(_minute(before, row) for before, row in pairwise(rows))


def _minute(before: Row[tuple[object, ...]], row: Row[tuple[object, ...]]) -> Minute:
    # Where nobody ticked for a while, the rate is that of the whole while.
    minutes = max(1.0, (row.at - before.at) / _MINUTE)
    oldest = row.created_at - row.oldest_at if row.oldest_at else timedelta()
    return Minute(
        at=row.at,
        enqueued=max(0.0, row.enqueued - before.enqueued) / minutes,
        ended=max(0.0, row.ended - before.ended) / minutes,
        failed=max(0.0, row.failed - before.failed) / minutes,
        oldest_seconds=oldest.total_seconds(),
        slots=row.slots,
    )
