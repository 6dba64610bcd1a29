"""
Reading webhooks, and what became of what they were to be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, func, select

from orchestrator.db.access import check_webhook, of_customers
from orchestrator.db.tables import customer, webhook, webhook_delivery
from orchestrator.db.unit_of_work import Transaction
from orchestrator.db.users import Customer, customer_columns, customer_view
from orchestrator.domain.errors import NotFoundError
from orchestrator.domain.viewer import Viewer
from orchestrator.domain.webhooks import Occasion
from orchestrator.queries.lists import Listing, Order, Page, Paging, fetch_page

_WEBHOOKS = Listing(
    table=webhook,
    sorts={"createdTimestamp": webhook.c.created_at},
    default=Order(name="createdTimestamp", descending=True),
)
_DELIVERIES = Listing(
    table=webhook_delivery,
    sorts={"createdTimestamp": webhook_delivery.c.created_at},
    default=Order(name="createdTimestamp", descending=True),
)

#: So many are counted of what waits for one webhook.
COUNT_MAX = 10_000


class DeliveryState(StrEnum):
    """Whether a delivery is done, to be tried, or given up."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    PARKED = "parked"


_IN_STATE: dict[DeliveryState, ColumnElement[bool]] = {
    DeliveryState.WAITING: webhook_delivery.c.due_at.is_not(None),
    DeliveryState.DELIVERED: webhook_delivery.c.delivered_at.is_not(None),
    DeliveryState.PARKED: webhook_delivery.c.parked_at.is_not(None),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookView:
    """
    A webhook. ``failures``: in a row; ``rest_until``: so long it is left alone for
    them. ``waiting`` and ``parked``: deliveries, up to :data:`COUNT_MAX`.
    """

    id: UUID
    url: str
    occasions: Sequence[Occasion]
    customer: Customer
    failures: int
    rest_until: datetime | None
    off_at: datetime | None
    off_reason: str | None
    waiting: int
    parked: int
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryView:
    """
    A delivery, and what came of its last try: ``status`` of the answer, ``error`` in
    words. ``is_under_way``: it is being tried now.
    """

    id: UUID
    occasion: Occasion
    state: DeliveryState
    job_id: UUID | None
    task_id: UUID | None
    verdict_id: UUID | None
    tries: int
    tried_at: datetime | None
    status: int | None
    error: str | None
    due_at: datetime | None
    is_under_way: bool
    delivered_at: datetime | None
    parked_at: datetime | None
    created_at: datetime


def list_webhooks(
    tx: Transaction, paging: Paging, *, viewer: Viewer
) -> Page[WebhookView]:
    """Return one page of the webhooks of the viewer's customers, the newest first."""
    own = of_customers(webhook, viewer)
    rows, total = fetch_page(tx, _WEBHOOKS, _webhooks(), own, paging=paging)
    return Page(items=tuple(map(_webhook, rows)), total=total)


def get_webhook(tx: Transaction, webhook_id: UUID, *, viewer: Viewer) -> WebhookView:
    """
    Return one webhook.

    Raises:
        NotFoundError: There is no such webhook.
        PermissionDeniedError: It is another customer's.
    """
    query = _webhooks().where(webhook.c.id == webhook_id)
    views = list(map(_webhook, tx.connection.execute(query)))
    check_webhook(viewer, webhook_id, views[0].customer.id if views else None)
    return views[0]


def list_deliveries(
    tx: Transaction,
    webhook_id: UUID,
    states: Sequence[DeliveryState],
    paging: Paging,
    *,
    viewer: Viewer,
) -> Page[DeliveryView]:
    """
    Return one page of a webhook's deliveries in these states, or all, newest first.

    Raises:
        NotFoundError: There is no such webhook.
        PermissionDeniedError: It is another customer's.
    """
    get_webhook(tx, webhook_id, viewer=viewer)
    conditions = [webhook_delivery.c.webhook_id == webhook_id]
    if states:
        # Joined by "or": each delivery is in one.
        first, *others = (_IN_STATE[state] for state in states)
        for other in others:
            first |= other
        conditions.append(first)
    rows, total = fetch_page(
        tx, _DELIVERIES, select(webhook_delivery), *conditions, paging=paging
    )
    return Page(items=tuple(_delivery(row, tx.now) for row in rows), total=total)


def get_delivery(
    tx: Transaction, webhook_id: UUID, delivery_id: UUID, *, viewer: Viewer
) -> DeliveryView:
    """
    Return one delivery.

    Raises:
        NotFoundError: There is no such webhook, or it has no such delivery.
        PermissionDeniedError: It is another customer's.
    """
    get_webhook(tx, webhook_id, viewer=viewer)
    row = tx.connection.execute(
        select(webhook_delivery).where(
            webhook_delivery.c.id == delivery_id,
            webhook_delivery.c.webhook_id == webhook_id,
        )
    ).one_or_none()
    if row is None:
        raise NotFoundError(
            f"webhook {webhook_id} has no delivery {delivery_id}", field="deliveryID"
        )
    return _delivery(row, tx.now)


def _webhooks() -> Select[Any]:
    return select(
        webhook,
        *customer_columns(),
        _count(DeliveryState.WAITING),
        _count(DeliveryState.PARKED),
    ).join_from(webhook, customer)


def _count(state: DeliveryState) -> ColumnElement[int]:
    some = (
        select(webhook_delivery.c.id)
        .where(webhook_delivery.c.webhook_id == webhook.c.id, _IN_STATE[state])
        .limit(COUNT_MAX)
        .correlate(webhook)
        .subquery()
    )
    return select(func.count()).select_from(some).scalar_subquery().label(state.value)


def _webhook(row: Row[Any]) -> WebhookView:
    return WebhookView(
        id=row.id,
        url=row.url,
        occasions=tuple(map(Occasion, row.occasions)),
        customer=customer_view(row),
        failures=row.failures,
        rest_until=row.rest_until,
        off_at=row.off_at,
        off_reason=row.off_reason,
        waiting=row.waiting,
        parked=row.parked,
        created_at=row.created_at,
    )


def _delivery(row: Row[Any], now: datetime) -> DeliveryView:
    return DeliveryView(
        id=row.id,
        occasion=Occasion(row.occasion),
        state=_state(row),
        job_id=row.job_id,
        task_id=row.task_id,
        verdict_id=row.verdict_id,
        tries=row.tries,
        tried_at=row.tried_at,
        status=row.status,
        error=row.error,
        due_at=row.due_at,
        is_under_way=row.taken_until is not None and row.taken_until > now,
        delivered_at=row.delivered_at,
        parked_at=row.parked_at,
        created_at=row.created_at,
    )


def _state(row: Row[Any]) -> DeliveryState:
    if row.delivered_at is not None:
        return DeliveryState.DELIVERED
    return DeliveryState.WAITING if row.parked_at is None else DeliveryState.PARKED
