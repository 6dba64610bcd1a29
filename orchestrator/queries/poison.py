"""
Reading what samples a worker's version dies of.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select

from orchestrator.db.tables import poison, worker
from orchestrator.db.unit_of_work import Transaction
from orchestrator.queries.lists import Page, Paging


@dataclass(frozen=True, kw_only=True, slots=True)
class PoisonView:
    """
    A sample of which a version of a worker died three times.

    ``in_force``: later jobs skip it; not so after a newer version came.
    """

    sample_sha256: str
    worker: str
    version: str
    deaths: int
    first_at: datetime
    last_at: datetime
    poisoned_at: datetime
    in_force: bool


def list_poison(tx: Transaction, paging: Paging) -> Page[PoisonView]:
    """Return what is poison and was not cleared, the newest first."""
    standing = (poison.c.poisoned_at.is_not(None), poison.c.cleared_at.is_(None))
    counted = select(func.count()).select_from(poison).where(*standing)
    total = tx.connection.execute(counted).scalar_one()
    query = (
        select(poison, worker.c.short_name, worker.c.version.label("newest"))
        .join_from(poison, worker)
        .where(*standing)
        .order_by(
            poison.c.poisoned_at.desc(), poison.c.sample_sha256, poison.c.worker_id
        )
        .limit(paging.limit or None)
        .offset(paging.offset)
    )
    rows = tx.connection.execute(query)
    return Page(items=tuple(map(_view, rows)), total=total)


def _view(row: Row[Any]) -> PoisonView:
    return PoisonView(
        sample_sha256=row.sample_sha256,
        worker=row.short_name,
        version=row.version,
        deaths=row.deaths,
        first_at=row.first_at,
        last_at=row.last_at,
        poisoned_at=row.poisoned_at,
        in_force=row.version == row.newest,
    )
