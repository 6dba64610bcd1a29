"""
Which living replicas stand aside, since when and why. What makes them do so is theirs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select

from orchestrator.db.tables import replica
from orchestrator.db.unit_of_work import Transaction


@dataclass(frozen=True, kw_only=True, slots=True)
class Aside:
    """``why``: in its own words, with what to do about it."""

    replica: str
    why: str
    since: datetime


def list_aside(
    tx: Transaction, workers: Collection[UUID], *, lease: timedelta
) -> dict[UUID, Sequence[Aside]]:
    """Return the replicas of these workers that live and stand aside, oldest first."""
    rows = tx.connection.execute(
        select(replica.c.worker_id, replica.c.id, replica.c.aside, replica.c.aside_at)
        .where(
            replica.c.worker_id.in_(workers),
            replica.c.seen_at >= tx.now - lease,
            replica.c.leaving.is_(False),
            replica.c.aside.is_not(None),
        )
        .order_by(replica.c.aside_at, replica.c.id)
    )
    found: dict[UUID, list[Aside]] = {}
    for row in rows:
        told = Aside(replica=row.id, why=row.aside, since=row.aside_at)
        found.setdefault(row.worker_id, []).append(told)
    return dict(found)
