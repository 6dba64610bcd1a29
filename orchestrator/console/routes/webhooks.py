"""
Webhooks: who is told of what, what became of it, and telling it again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

from fastapi import Path, Query, Request, Response

from orchestrator.api.deps import Caller, CallerDep, Services, ServicesDep, needs
from orchestrator.api.schemas.webhook import WebhookAddRequest
from orchestrator.catalog import webhooks as catalog
from orchestrator.catalog.webhooks import AddedWebhook, WebhookOrder
from orchestrator.console.forms import checked
from orchestrator.console.hints import Hint, hint
from orchestrator.console.page import page
from orchestrator.console.visitor import READ, SEND, FormDep, field, pages, see
from orchestrator.domain.values import Role
from orchestrator.domain.webhooks import TOLD, Occasion
from orchestrator.queries import webhooks as queries
from orchestrator.queries.lists import Paging
from orchestrator.queries.webhooks import DeliveryState

router = pages()

_ROWS: Final = 50
_OFFSET_MAX: Final = 100_000

_EXAMPLE: Final = "https://hooks.example.org/assay"

WebhookID = Annotated[UUID, Path(alias="webhookID")]
DeliveryID = Annotated[UUID, Path(alias="deliveryID")]


class Verb(StrEnum):
    """What is done to a webhook."""

    TEST = "test"
    REDELIVER = "redeliver"
    REMOVE = "remove"


@router.api_route("/admin/webhooks", methods=READ)
@needs(Role.USER)
def show_webhooks(
    request: Request, caller: CallerDep, services: ServicesDep
) -> Response:
    """Show the webhooks of the caller's customers."""
    return _webhooks_page(request, caller, services)


@router.api_route("/admin/webhooks", methods=SEND)
@needs(Role.USER)
def add_webhook(
    request: Request, form: FormDep, caller: CallerDep, services: ServicesDep
) -> Response:
    """Have a URL called, and show its secret this once."""
    given = {"url": (field(form, "url") or "").strip(), "types": form.get("type", ())}
    wanted = checked(WebhookAddRequest, given)
    order = WebhookOrder(
        url=wanted.url,
        occasions=tuple(map(Occasion, wanted.types)),
        customer_id=caller.customer_id,
        allowed=services.webhook_networks,
    )
    with services.database.uow() as tx:
        added = catalog.add_webhook(
            tx,
            order,
            viewer=caller.viewer,
            keys=services.engine.keys,
            actor=caller.actor,
        )
    return _webhooks_page(request, caller, services, added=added)


@router.api_route("/admin/webhooks/{webhookID}", methods=READ)
@needs(Role.USER)
def show_webhook(
    request: Request,
    webhook_id: WebhookID,
    caller: CallerDep,
    services: ServicesDep,
    state: Annotated[list[DeliveryState] | None, Query(max_length=3)] = None,
    offset: Annotated[int, Query(ge=0, le=_OFFSET_MAX)] = 0,
) -> Response:
    """Show a webhook, and what it was to be told."""
    some = Paging(limit=_ROWS, offset=offset)
    with services.database.uow() as tx:
        webhook = queries.get_webhook(tx, webhook_id, viewer=caller.viewer)
        found = queries.list_deliveries(
            tx, webhook_id, state or (), some, viewer=caller.viewer
        )
        now = tx.now
    return page(
        request,
        "webhook.html",
        now=now,
        webhook=webhook,
        deliveries=found.items,
        states=tuple(DeliveryState),
        chosen=state or (),
        list=f"/admin/webhooks/{webhook_id}",
        same_states="".join(f"state={each}&" for each in state or ()),
        newer=max(0, offset - _ROWS) if offset else None,
        older=offset + _ROWS if len(found.items) == _ROWS else None,
        hints=_hints(webhook_id),
    )


@router.api_route("/admin/webhooks/{webhookID}/{verb}", methods=SEND)
@needs(Role.USER)
def change_webhook(
    webhook_id: WebhookID, verb: Verb, caller: CallerDep, services: ServicesDep
) -> Response:
    """Test it, send again what was parked, or remove it."""
    viewer = caller.viewer
    with services.database.uow() as tx:
        match verb:
            case Verb.TEST:
                catalog.test_webhook(tx, webhook_id, viewer=viewer)
            case Verb.REDELIVER:
                catalog.redeliver(tx, webhook_id, viewer=viewer)
            case Verb.REMOVE:
                catalog.remove_webhook(
                    tx, webhook_id, viewer=viewer, actor=caller.actor
                )
                return see("/admin/webhooks")
    return see(f"/admin/webhooks/{webhook_id}")


@router.api_route(
    "/admin/webhooks/{webhookID}/deliveries/{deliveryID}/redeliver", methods=SEND
)
@needs(Role.USER)
def redeliver(
    webhook_id: WebhookID,
    delivery_id: DeliveryID,
    caller: CallerDep,
    services: ServicesDep,
) -> Response:
    """Send one message again."""
    with services.database.uow() as tx:
        catalog.redeliver(tx, webhook_id, delivery_id, viewer=caller.viewer)
    return see(f"/admin/webhooks/{webhook_id}")


def _webhooks_page(
    request: Request,
    caller: Caller,
    services: Services,
    *,
    added: AddedWebhook | None = None,
) -> Response:
    with services.database.uow() as tx:
        found = queries.list_webhooks(tx, Paging(limit=0), viewer=caller.viewer)
        now = tx.now
    return page(
        request,
        "webhooks.html",
        now=now,
        webhooks=found.items,
        added=added,
        types=tuple(occasion.value for occasion in TOLD),
        hint=hint(
            f"assay webhook add {_EXAMPLE} --on job.done",
            "POST",
            "/webhook",
            {"url": _EXAMPLE, "types": ["job.done"]},
        ),
    )


def _hints(webhook_id: UUID) -> dict[str, Hint]:
    path, command = f"/webhook/{webhook_id}", "assay webhook"
    return {
        "show": hint(f"{command} deliveries {webhook_id}", "GET", f"{path}/deliveries"),
        "test": hint(f"{command} test {webhook_id}", "POST", f"{path}/test", {}),
        "redeliver": hint(
            f"{command} redeliver {webhook_id}", "PUT", f"{path}/redeliver"
        ),
        "remove": hint(f"{command} remove {webhook_id}", "DELETE", path),
    }
