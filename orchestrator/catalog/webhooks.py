"""
Webhooks: who is told of what, and telling it again.

Owns what a URL may be. What is told, and when, is ``flow/announce.py``; who calls is
``deliver/``.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

import httpx
from sqlalchemy import RowMapping
from uuid_utils.compat import uuid7

from orchestrator.contracts.token import KeyRing
from orchestrator.db import audit, webhooks
from orchestrator.db.access import check_customer, check_webhook
from orchestrator.db.audit import Action
from orchestrator.db.unit_of_work import Transaction
from orchestrator.db.webhooks import NewWebhook
from orchestrator.domain.addresses import Network, may_be_called
from orchestrator.domain.errors import (
    ConflictError,
    IllegalTransitionError,
    InvalidError,
    NotFoundError,
)
from orchestrator.domain.values import Actor
from orchestrator.domain.viewer import Viewer
from orchestrator.domain.webhooks import Occasion
from orchestrator.flow.announce import announce_test

#: Of a customer: each is called for every one of its jobs.
WEBHOOKS_MAX = 20

URL_MAX = 2_048

_PORT_MAX = 65_535


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookOrder:
    """A webhook that is asked for; ``allowed``: networks that it may be in."""

    url: str
    occasions: Sequence[Occasion]
    customer_id: UUID
    allowed: Sequence[Network] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class AddedWebhook:
    """A new webhook; ``secret`` signs what it is sent, and is shown this once."""

    id: UUID
    secret: str


def add_webhook(
    tx: Transaction,
    order: WebhookOrder,
    *,
    viewer: Viewer,
    keys: KeyRing,
    actor: Actor,
) -> AddedWebhook:
    """
    Have a URL called from now on.

    Raises:
        InvalidError: The URL is none that can be called, or no occasion is named.
        PermissionDeniedError: The customer is not the viewer's.
        ConflictError: The customer has too many, or one for this URL.
    """
    check_customer(viewer, order.customer_id)
    url = _checked(order.url, order.allowed)
    if not order.occasions:
        raise InvalidError("types: name at least one", field="types")
    tx.one_at_a_time(f"webhooks {order.customer_id}")
    _check_others(webhooks.list_urls(tx, order.customer_id), url)
    occasions = tuple(dict.fromkeys(order.occasions))
    new = NewWebhook(
        id=uuid7(),
        customer_id=order.customer_id,
        created_by=actor.user_id,
        url=url,
        occasions=occasions,
    )
    webhooks.add_webhook(tx, new)
    # Without what a URL may hold of the receiver's secrets.
    detail = {"host": urlsplit(url).netloc, "types": [each.value for each in occasions]}
    audit.record(tx, actor, Action.WEBHOOK_ADD, new.id, detail)
    return AddedWebhook(id=new.id, secret=keys.webhook_secrets(new.id)[0])


def remove_webhook(
    tx: Transaction, webhook_id: UUID, *, viewer: Viewer, actor: Actor
) -> None:
    """
    Call a webhook no more; what waits for it is thrown away.

    Raises:
        NotFoundError: There is no such webhook.
        PermissionDeniedError: It is another customer's.
    """
    row = _get(tx, webhook_id, viewer)
    webhooks.delete_webhook(tx, webhook_id)
    detail = {"host": urlsplit(row["url"]).netloc}
    audit.record(tx, actor, Action.WEBHOOK_REMOVE, webhook_id, detail)


def test_webhook(tx: Transaction, webhook_id: UUID, *, viewer: Viewer) -> UUID:
    """
    Call a webhook, also one that is off: who takes it is told of everything again.

    Returns:
        The id of the delivery.

    Raises:
        NotFoundError: There is no such webhook.
        PermissionDeniedError: It is another customer's.
    """
    _get(tx, webhook_id, viewer)
    return announce_test(tx, webhook_id)


def redeliver(
    tx: Transaction,
    webhook_id: UUID,
    delivery_id: UUID | None = None,
    *,
    viewer: Viewer,
) -> int:
    """
    Deliver again: one delivery, whatever became of it, or all that are parked.

    Returns:
        How many.

    Raises:
        NotFoundError: There is no such webhook, or it has no such delivery.
        PermissionDeniedError: It is another customer's.
        IllegalTransitionError: Its receiver said that it is gone.
    """
    row = _get(tx, webhook_id, viewer)
    if row["off_at"] is not None:
        raise IllegalTransitionError(
            f"webhook {webhook_id} is off: {row['off_reason']}; test it first, and if"
            " that is taken it is on again",
            field="webhookID",
        )
    found = webhooks.redeliver(tx, webhook_id, delivery_id)
    if delivery_id is not None and not found:
        raise NotFoundError(
            f"webhook {webhook_id} has no delivery {delivery_id}", field="deliveryID"
        )
    tx.notify("deliver")
    return found


def _check_others(others: Mapping[UUID, str], url: str) -> None:
    same = [webhook_id for webhook_id, its_url in others.items() if its_url == url]
    if same:
        raise ConflictError(
            f"webhook {same[0]} calls this URL already; remove it first", field="url"
        )
    if len(others) >= WEBHOOKS_MAX:
        raise ConflictError(
            f"a customer has at most {WEBHOOKS_MAX} webhooks; remove one", field="url"
        )


def _get(tx: Transaction, webhook_id: UUID, viewer: Viewer) -> RowMapping:
    row = webhooks.find_webhook_for_update(tx, webhook_id)
    check_webhook(viewer, webhook_id, row["customer_id"] if row else None)
    assert row is not None  # noqa: S101  (or it was refused)
    return row


def _checked(url: str, allowed: Sequence[Network]) -> str:
    """Return the URL as it is called."""
    try:
        parsed = httpx.URL(url.strip())
        host = parsed.host
    except (httpx.InvalidURL, UnicodeError) as error:
        raise InvalidError(f"url: {error}", field="url") from None
    if parsed.scheme not in {"http", "https"} or not host:
        raise InvalidError("url: write https://host/path", field="url")
    if parsed.port is not None and not 0 < parsed.port <= _PORT_MAX:
        raise InvalidError(f"url: a port is 1 to {_PORT_MAX}", field="url")
    if parsed.userinfo:
        raise InvalidError(
            "url: leave name and password out; what is sent is signed", field="url"
        )
    if parsed.fragment:
        raise InvalidError("url: leave out what follows the #", field="url")
    _check_host(host, allowed)
    # As it is sent: what is no ASCII is longer there.
    if len(str(parsed)) > URL_MAX:
        raise InvalidError(f"url: at most {URL_MAX} characters", field="url")
    return str(parsed)


def _check_host(host: str, allowed: Sequence[Network]) -> None:
    # What a name leads to is looked at when it is called.
    try:
        is_good = may_be_called(_meant(host), allowed=allowed)
    except ValueError:
        return
    if not is_good:
        raise InvalidError(
            f"url: {host} is not of the public internet; an operator can allow its"
            " network in ASSAY_WEBHOOK_NETWORKS",
            field="url",
        )


def _meant(host: str) -> str:
    """Return the address that a host is, however it is written; or the host."""
    name = host.rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return "127.0.0.1"
    try:
        # 127.1, 2130706433 and 0x7f000001 are one address to who resolves names.
        return socket.inet_ntoa(socket.inet_aton(name))
    except OSError:
        return host
