"""
Webhooks over HTTP: who is told of what, what became of it, and telling it again.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import Path, Query

from orchestrator.api.deps import Caller, CallerDep, ServicesDep, guarded, needs
from orchestrator.api.http.envelope import (
    Envelope,
    ListEnvelope,
    created,
    listing,
    single,
)
from orchestrator.api.http.paging import PageDep
from orchestrator.api.schemas.webhook import (
    DeliveryResponse,
    Redelivered,
    WebhookAdded,
    WebhookAddRequest,
    WebhookResponse,
)
from orchestrator.catalog import webhooks as catalog
from orchestrator.catalog.webhooks import WebhookOrder
from orchestrator.db.unit_of_work import Transaction
from orchestrator.db.users import get_customer_ids
from orchestrator.domain.values import Role
from orchestrator.domain.webhooks import Occasion
from orchestrator.queries import webhooks as queries
from orchestrator.queries.webhooks import DeliveryState

router = guarded("webhook")

WebhookID = Annotated[UUID, Path(alias="webhookID")]
DeliveryID = Annotated[UUID, Path(alias="deliveryID")]


@router.get("/webhook")
@needs(Role.USER)
def list_webhooks(
    paging: PageDep, caller: CallerDep, services: ServicesDep
) -> ListEnvelope[WebhookResponse]:
    """Return the webhooks of the caller's customers, the newest first."""
    with services.database.uow() as tx:
        page = queries.list_webhooks(tx, paging, viewer=caller.viewer)
    shaped = [WebhookResponse.of(view, now=tx.now) for view in page.items]
    return listing(shaped, page=page, paging=paging)


@router.post("/webhook", status_code=HTTPStatus.CREATED)
@needs(Role.USER)
def add_webhook(
    given: WebhookAddRequest, caller: CallerDep, services: ServicesDep
) -> Envelope[WebhookAdded]:
    """Have a URL called from now on; the secret is shown this once."""
    with services.database.uow() as tx:
        order = WebhookOrder(
            url=given.url,
            occasions=tuple(map(Occasion, given.types)),
            customer_id=_customer_of(tx, given.customer, caller),
            allowed=services.webhook_networks,
        )
        added = catalog.add_webhook(
            tx,
            order,
            viewer=caller.viewer,
            keys=services.engine.keys,
            actor=caller.actor,
        )
        view = queries.get_webhook(tx, added.id, viewer=caller.viewer)
    shown = WebhookResponse.of(view, now=tx.now)
    return created(WebhookAdded(**dict(shown), secret=added.secret))


@router.get("/webhook/{webhookID}")
@needs(Role.USER)
def get_webhook(
    webhook_id: WebhookID, caller: CallerDep, services: ServicesDep
) -> Envelope[WebhookResponse]:
    """Return one webhook."""
    with services.database.uow() as tx:
        view = queries.get_webhook(tx, webhook_id, viewer=caller.viewer)
    return single(WebhookResponse.of(view, now=tx.now))


@router.delete("/webhook/{webhookID}")
@needs(Role.USER)
def remove_webhook(
    webhook_id: WebhookID, caller: CallerDep, services: ServicesDep
) -> Envelope[WebhookResponse]:
    """Call it no more, and throw away what waits for it."""
    with services.database.uow() as tx:
        view = queries.get_webhook(tx, webhook_id, viewer=caller.viewer)
        catalog.remove_webhook(tx, webhook_id, viewer=caller.viewer, actor=caller.actor)
    return single(WebhookResponse.of(view, now=tx.now))


@router.post("/webhook/{webhookID}/test", status_code=HTTPStatus.CREATED)
@needs(Role.USER)
def test_webhook(
    webhook_id: WebhookID, caller: CallerDep, services: ServicesDep
) -> Envelope[DeliveryResponse]:
    """Call it now, whatever happens; one that was off and takes it is on again."""
    with services.database.uow() as tx:
        made = catalog.test_webhook(tx, webhook_id, viewer=caller.viewer)
        view = queries.get_delivery(tx, webhook_id, made, viewer=caller.viewer)
    return created(DeliveryResponse.of(view))


@router.get("/webhook/{webhookID}/deliveries")
@needs(Role.USER)
def list_deliveries(
    webhook_id: WebhookID,
    paging: PageDep,
    caller: CallerDep,
    services: ServicesDep,
    state: Annotated[
        list[DeliveryState] | None, Query(max_length=len(DeliveryState))
    ] = None,
) -> ListEnvelope[DeliveryResponse]:
    """Return what it was to be told, the newest first."""
    with services.database.uow() as tx:
        page = queries.list_deliveries(
            tx, webhook_id, state or (), paging, viewer=caller.viewer
        )
    shaped = [DeliveryResponse.of(view) for view in page.items]
    return listing(shaped, page=page, paging=paging)


@router.get("/webhook/{webhookID}/deliveries/{deliveryID}")
@needs(Role.USER)
def get_delivery(
    webhook_id: WebhookID,
    delivery_id: DeliveryID,
    caller: CallerDep,
    services: ServicesDep,
) -> Envelope[DeliveryResponse]:
    """Return one message, and what became of it."""
    with services.database.uow() as tx:
        view = queries.get_delivery(tx, webhook_id, delivery_id, viewer=caller.viewer)
    return single(DeliveryResponse.of(view))


@router.put("/webhook/{webhookID}/redeliver")
@needs(Role.USER)
def redeliver_parked(
    webhook_id: WebhookID, caller: CallerDep, services: ServicesDep
) -> Envelope[Redelivered]:
    """Try everything again that was parked."""
    with services.database.uow() as tx:
        found = catalog.redeliver(tx, webhook_id, viewer=caller.viewer)
    return single(Redelivered(redelivered=found))


@router.put("/webhook/{webhookID}/deliveries/{deliveryID}/redeliver")
@needs(Role.USER)
def redeliver(
    webhook_id: WebhookID,
    delivery_id: DeliveryID,
    caller: CallerDep,
    services: ServicesDep,
) -> Envelope[Redelivered]:
    """Send one message again, whatever became of it."""
    with services.database.uow() as tx:
        found = catalog.redeliver(tx, webhook_id, delivery_id, viewer=caller.viewer)
    return single(Redelivered(redelivered=found))


def _customer_of(tx: Transaction, named: str | None, caller: Caller) -> UUID:
    if named is None:
        return caller.customer_id
    (customer_id,) = get_customer_ids(tx, [named])
    return customer_id
