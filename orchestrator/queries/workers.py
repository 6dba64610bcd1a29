"""
Reading registered workers, with what runs of them now.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, func, select

from orchestrator.db.bulk import one_of
from orchestrator.db.tables import job_task, replica, worker
from orchestrator.db.unit_of_work import Transaction
from orchestrator.db.users import UserView, find_users
from orchestrator.db.workers import is_named
from orchestrator.domain.errors import NotFoundError
from orchestrator.domain.values import TaskState
from orchestrator.queries.aside import Aside, list_aside
from orchestrator.queries.lists import Listing, Order, Page, Paging, fetch_page
from orchestrator.queries.replicas import Replica, list_draining


@dataclass(frozen=True, kw_only=True, slots=True)
class Enrolment:
    """Which of a worker's secrets counts; ``is_deleted``: none does."""

    generation: int
    is_deleted: bool


_LISTING = Listing(
    table=worker,
    sorts={
        "shortName": worker.c.short_name,
        "createdTimestamp": worker.c.created_at,
        "lastUpdatedTimestamp": worker.c.updated_at,
        "deletedTimestamp": worker.c.deleted_at,
    },
    default=Order(name="shortName"),
)

#: The backlog is counted up to here; what is shown above it is "at least".
BACKLOG_MAX = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerView:
    """
    A registered worker.

    ``version``: of its newest manifest, ``None`` until one came. ``replicas``: alive
    now, of which ``aside`` take no work and ``draining`` take none any more. ``slots``:
    of those that do not drain. ``backlog``: open tasks that
    are not in the broker, counted up to :data:`BACKLOG_MAX`. ``run_seconds``,
    ``max_losses`` and ``window_cap``: what an administrator has set over the manifest
    and the settings.
    """

    id: UUID
    short_name: str
    localized_names: Mapping[str, str]
    localized_descriptions: Mapping[str, str]
    version: str | None
    weight: float
    run_seconds: float | None
    max_losses: int | None
    window_cap: int | None
    paused_at: datetime | None
    created_by: UserView | None
    created_at: datetime
    updated_by: UserView | None
    updated_at: datetime | None
    deleted_by: UserView | None
    deleted_at: datetime | None
    replicas: int
    slots: int
    aside: Sequence[Aside]
    draining: Sequence[Replica]
    backlog: int


def list_workers(
    tx: Transaction, paging: Paging, *, include_deleted: bool, lease: timedelta
) -> Page[WorkerView]:
    """
    Return one page of the workers.

    Args:
        lease: How long a silent replica counts as alive.

    Raises:
        InvalidError: The order names an unknown field.
    """
    conditions = [] if include_deleted else [worker.c.deleted_at.is_(None)]
    statement = _workers(tx.now - lease)
    rows, total = fetch_page(tx, _LISTING, statement, *conditions, paging=paging)
    return Page(items=_views(tx, rows, lease=lease), total=total)


def get_worker(tx: Transaction, id_or_name: str, *, lease: timedelta) -> WorkerView:
    """
    Return one worker by id or short name, deleted or not.

    Raises:
        NotFoundError: There is none.
    """
    rows = tx.connection.execute(
        _workers(tx.now - lease).where(is_named(id_or_name))
    ).all()
    if not rows:
        raise _unknown(id_or_name)
    return _views(tx, rows, lease=lease)[0]


def find_workers(
    tx: Transaction, ids: Collection[UUID], *, lease: timedelta
) -> tuple[WorkerView, ...]:
    """Return those of these workers that are there."""
    statement = _workers(tx.now - lease).where(one_of(worker.c.id, ids))
    return _views(tx, tx.connection.execute(statement).all(), lease=lease)


def get_short_name(tx: Transaction, id_or_name: str) -> str:
    """
    Return the short name of a worker given by id or short name.

    Raises:
        NotFoundError: There is no such worker, or it is deleted.
    """
    found = tx.connection.execute(
        select(worker.c.short_name).where(
            is_named(id_or_name), worker.c.deleted_at.is_(None)
        )
    ).first()
    if found is None:
        raise _unknown(id_or_name)
    return str(found.short_name)


def get_schema(tx: Transaction, id_or_name: str) -> dict[str, Any]:
    """
    Return the JSON schema of a worker's results; ``{}`` allows anything.

    Raises:
        NotFoundError: There is no such worker.
    """
    found = tx.connection.execute(
        select(worker.c.result_schema).where(is_named(id_or_name))
    ).first()
    if found is None:
        raise _unknown(id_or_name)
    schema: dict[str, Any] = found.result_schema
    return schema


def _workers(alive_after: datetime) -> Select[Any]:
    alive = (
        select(
            replica.c.worker_id,
            func.count().label("replicas"),
            func.sum(replica.c.slots)
            .filter(replica.c.draining_at.is_(None))
            .label("slots"),
        )
        .where(replica.c.seen_at >= alive_after, replica.c.leaving.is_(False))
        .group_by(replica.c.worker_id)
        .subquery("alive")
    )
    return select(
        worker,
        func.coalesce(alive.c.replicas, 0).label("replicas"),
        func.coalesce(alive.c.slots, 0).label("slots"),
        _backlog().label("backlog"),
    ).join_from(worker, alive, alive.c.worker_id == worker.c.id, isouter=True)


def _backlog() -> ColumnElement[int]:
    waiting = (
        select(job_task.c.id)
        .where(
            job_task.c.worker_id == worker.c.id,
            job_task.c.state == TaskState.ENQUEUED.value,
            job_task.c.published_at.is_(None),
        )
        .correlate(worker)
        .limit(BACKLOG_MAX)
        .subquery("waiting")
    )
    return select(func.count()).select_from(waiting).scalar_subquery()


def _views(
    tx: Transaction, rows: Sequence[Row[Any]], *, lease: timedelta
) -> tuple[WorkerView, ...]:
    named = {row.created_by for row in rows}
    named |= {row.updated_by for row in rows}
    named |= {row.deleted_by for row in rows}
    users = find_users(tx, named)
    aside = list_aside(tx, [row.id for row in rows], lease=lease)
    draining = list_draining(tx, [row.id for row in rows], lease=lease)
    return tuple(
        _view(row, users, aside.get(row.id, ()), draining.get(row.id, ()))
        for row in rows
    )


def _view(
    row: Row[Any],
    users: Mapping[UUID | None, UserView],
    aside: Sequence[Aside],
    draining: Sequence[Replica],
) -> WorkerView:
    return WorkerView(
        id=row.id,
        short_name=row.short_name,
        localized_names=row.localized_names,
        localized_descriptions=row.localized_descriptions,
        version=row.version,
        weight=row.weight,
        run_seconds=row.run_seconds,
        max_losses=row.max_losses,
        window_cap=row.window_cap,
        paused_at=row.paused_at,
        created_by=users.get(row.created_by),
        created_at=row.created_at,
        updated_by=users.get(row.updated_by),
        updated_at=row.updated_at,
        deleted_by=users.get(row.deleted_by),
        deleted_at=row.deleted_at,
        replicas=row.replicas,
        slots=row.slots,
        aside=aside,
        draining=draining,
        backlog=row.backlog,
    )


def _unknown(id_or_name: str) -> NotFoundError:
    return NotFoundError(f"there is no worker '{id_or_name}'", field="idOrShortName")


def find_enrolment(tx: Transaction, short_name: str) -> Enrolment | None:
    """Return how a worker is enrolled; ``None`` if nobody registered it."""
    row = tx.connection.execute(
        select(worker.c.generation, worker.c.deleted_at).where(
            worker.c.short_name == short_name
        )
    ).first()
    if row is None:
        return None
    return Enrolment(generation=row.generation, is_deleted=row.deleted_at is not None)
