"""
The living replicas of workers. What they are told, and tell, is written elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, func, select

from orchestrator.contracts.assignment import AttemptKey, parse_celery_id
from orchestrator.db.tables import replica
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import NotFoundError
from orchestrator.queries.lists import Listing, Order, Page, Paging, fetch_page


@dataclass(frozen=True, kw_only=True, slots=True)
class Replica:
    """
    One that was heard within a lease and does not leave.

    ``holds``: how many attempts it has in hand; ``held``: which, as its last heartbeat
    listed them. ``aside``: why it takes no work, in its
    own words. ``draining_since``: since when it shall take nothing more.
    """

    id: str
    worker_id: UUID
    version: str
    slots: int
    holds: int
    held: tuple[AttemptKey, ...]
    since: datetime
    seen_at: datetime
    aside: str | None
    draining_since: datetime | None


_LISTING = Listing(
    table=replica,
    sorts={
        "createdTimestamp": replica.c.created_at,
        "seenTimestamp": replica.c.seen_at,
    },
    default=Order(name="createdTimestamp"),
)

_REPLICAS = select(replica, func.cardinality(replica.c.holds).label("in_hand"))


def list_replicas(
    tx: Transaction, worker_id: UUID, paging: Paging, *, lease: timedelta
) -> Page[Replica]:
    """
    Return one page of the living replicas of a worker.

    Raises:
        InvalidError: The order names an unknown field.
    """
    ours = replica.c.worker_id == worker_id
    conditions = [ours, *_are_alive(tx, lease)]
    rows, total = fetch_page(tx, _LISTING, _REPLICAS, *conditions, paging=paging)
    return Page(items=tuple(map(_replica, rows)), total=total)


def list_draining(
    tx: Transaction, workers: Collection[UUID], *, lease: timedelta
) -> dict[UUID, Sequence[Replica]]:
    """Return those of these workers' living replicas that take nothing more."""
    rows = tx.connection.execute(
        _REPLICAS.where(
            replica.c.worker_id.in_(workers),
            replica.c.draining_at.is_not(None),
            *_are_alive(tx, lease),
        ).order_by(replica.c.draining_at, replica.c.id)
    )
    found: dict[UUID, list[Replica]] = {}
    for each in map(_replica, rows):
        found.setdefault(each.worker_id, []).append(each)
    return dict(found)


def get_replica(tx: Transaction, replica_id: str) -> Replica:
    """
    Return a replica, a silent one too.

    Raises:
        NotFoundError: It was never heard, or not for a day.
    """
    row = tx.connection.execute(_REPLICAS.where(replica.c.id == replica_id)).first()
    if row is None:
        raise NotFoundError(f"there is no replica '{replica_id}'", field="replica")
    return _replica(row)


def _are_alive(tx: Transaction, lease: timedelta) -> list[ColumnElement[bool]]:
    return [replica.c.seen_at >= tx.now - lease, replica.c.leaving.is_(False)]


def _replica(row: Row[Any]) -> Replica:
    return Replica(
        id=row.id,
        worker_id=row.worker_id,
        version=row.version,
        slots=row.slots,
        holds=row.in_hand,
        held=tuple(filter(None, map(parse_celery_id, row.holds))),
        since=row.created_at,
        seen_at=row.seen_at,
        aside=row.aside,
        draining_since=row.draining_at,
    )
