"""
Webhooks and their deliveries, as the API takes and gives them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from orchestrator.api.http.envelope import Form, Shape
from orchestrator.api.http.storable import StorableText
from orchestrator.api.http.times import Millis
from orchestrator.api.schemas.common import CustomerInfo, CustomerRef
from orchestrator.catalog.webhooks import URL_MAX
from orchestrator.domain.webhooks import TOLD
from orchestrator.queries.webhooks import DeliveryView, WebhookView

Told = Literal[
    "job.done", "job.timeout", "task.failed", "task.timeout", "verdict.changed"
]


class WebhookAddRequest(Form):
    """A URL that is to be called; ``types``: what it is told of."""

    url: Annotated[StorableText, Field(min_length=1, max_length=URL_MAX)]
    types: Annotated[tuple[Told, ...], Field(min_length=1, max_length=len(TOLD))]
    customer: CustomerRef | None = None


class WebhookResponse(Shape):
    """
    A webhook. ``state``: ``resting`` after failures, until ``restUntilTimestamp``;
    ``off`` after its receiver said that it is gone. ``secret`` is given once.
    """

    id: UUID
    url: str
    types: tuple[str, ...]
    customer: CustomerInfo
    state: Literal["on", "resting", "off"]
    failures: int
    reason: str | None
    waiting: int
    parked: int
    created_timestamp: Millis
    rest_until_timestamp: Millis | None
    off_timestamp: Millis | None

    @classmethod
    def of(cls, view: WebhookView, *, now: datetime) -> WebhookResponse:
        """Shape a webhook, as it is *now*."""
        return cls(
            id=view.id,
            url=view.url,
            types=tuple(occasion.value for occasion in view.occasions),
            customer=CustomerInfo.of(view.customer),
            state=_state(view, now),
            failures=view.failures,
            reason=view.off_reason,
            waiting=view.waiting,
            parked=view.parked,
            created_timestamp=view.created_at,
            rest_until_timestamp=view.rest_until,
            off_timestamp=view.off_at,
        )


class WebhookAdded(WebhookResponse):
    """A new webhook, with what signs all that it is sent."""

    secret: str


class DeliveryResponse(Shape):
    """
    A message to a webhook. ``state``: ``waiting`` to be tried, at ``dueTimestamp``;
    ``delivered``; or ``parked`` after its last try. ``status`` and ``error``: of the
    last one.
    """

    id: UUID
    type: str
    state: Literal["waiting", "delivered", "parked"]
    under_way: bool
    job: UUID | None
    task: UUID | None
    verdict: UUID | None
    tries: int
    status: int | None
    error: str | None
    created_timestamp: Millis
    tried_timestamp: Millis | None
    due_timestamp: Millis | None
    delivered_timestamp: Millis | None

    @classmethod
    def of(cls, view: DeliveryView) -> DeliveryResponse:
        """Shape a delivery."""
        return cls(
            id=view.id,
            type=view.occasion.value,
            state=view.state.value,
            under_way=view.is_under_way,
            job=view.job_id,
            task=view.task_id,
            verdict=view.verdict_id,
            tries=view.tries,
            status=view.status,
            error=view.error,
            created_timestamp=view.created_at,
            tried_timestamp=view.tried_at,
            due_timestamp=view.due_at,
            delivered_timestamp=view.delivered_at,
        )


class Redelivered(Shape):
    """How many deliveries are tried again."""

    redelivered: int


def _state(view: WebhookView, now: datetime) -> Literal["on", "resting", "off"]:
    if view.off_at is not None:
        return "off"
    is_resting = view.rest_until is not None and view.rest_until > now
    return "resting" if is_resting else "on"
