"""
For who looks after the service: keys, customers, poison, refused messages, the audit.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import Query, Request, Response

from orchestrator.api.deps import Caller, CallerDep, ServicesDep, needs
from orchestrator.api.http.storable import StorableText
from orchestrator.catalog import keys
from orchestrator.catalog import poison as poison_catalog
from orchestrator.console.hints import Hint, hint
from orchestrator.console.page import page
from orchestrator.console.visitor import READ, SEND, Form, FormDep, field, pages, see
from orchestrator.db.access import check_unlimited
from orchestrator.db.audit import Action
from orchestrator.db.users import DEFAULT_CUSTOMER
from orchestrator.domain.errors import InvalidError
from orchestrator.domain.values import Role
from orchestrator.queries.audit import AuditFilter, list_audit
from orchestrator.queries.lists import Paging
from orchestrator.queries.poison import list_poison
from orchestrator.queries.rejected import list_rejected

router = pages()

_ROWS: Final = 100
_OFFSET_MAX: Final = 100_000
_DAYS_MAX: Final = 36_500

_NOT_OVER_HTTP: Final = "# on the service's machine, not over HTTP"

Offset = Annotated[int, Query(ge=0, le=_OFFSET_MAX)]
Word = Annotated[StorableText, Query(max_length=256)]


@router.api_route("/admin", methods=READ)
@router.api_route("/admin/keys", methods=READ)
@needs(Role.ADMINISTRATOR)
def show_keys(request: Request, caller: CallerDep, services: ServicesDep) -> Response:
    """Show the keys, without their secrets."""
    return _keys_page(request, caller, services)


@router.api_route("/admin/keys", methods=SEND)
@needs(Role.ADMINISTRATOR)
def create_key(
    request: Request, form: FormDep, caller: CallerDep, services: ServicesDep
) -> Response:
    """Create a key, and show it this once."""
    check_unlimited(caller.viewer)
    order = _key_order(form)
    with services.database.uow() as tx:
        issued = keys.create_key(tx, order, actor=caller.actor)
    return _keys_page(request, caller, services, issued=issued)


@router.api_route("/admin/keys/{prefix}/revoke", methods=SEND)
@needs(Role.ADMINISTRATOR)
def revoke_key(prefix: str, caller: CallerDep, services: ServicesDep) -> Response:
    """Let a key count no more."""
    check_unlimited(caller.viewer)
    with services.database.uow() as tx:
        keys.revoke_key(tx, prefix, actor=caller.actor)
    return see("/admin/keys")


@router.api_route("/admin/customers", methods=READ)
@needs(Role.ADMINISTRATOR)
def show_customers(
    request: Request, caller: CallerDep, services: ServicesDep
) -> Response:
    """Show who sees which samples and jobs."""
    check_unlimited(caller.viewer)
    with services.database.uow() as tx:
        customers, now = keys.list_customers(tx), tx.now
    shown = Hint("assay customer add NAME", _NOT_OVER_HTTP)
    return page(request, "customers.html", now=now, customers=customers, hint=shown)


@router.api_route("/admin/customers", methods=SEND)
@needs(Role.ADMINISTRATOR)
def add_customer(form: FormDep, caller: CallerDep, services: ServicesDep) -> Response:
    """Add a customer."""
    check_unlimited(caller.viewer)
    short_name = (field(form, "short_name") or "").strip()
    name = (field(form, "name") or "").strip() or short_name
    with services.database.uow() as tx:
        keys.add_customer(tx, short_name, name, actor=caller.actor)
    return see("/admin/customers")


@router.api_route("/admin/poison", methods=READ)
@needs(Role.ADMINISTRATOR)
def show_poison(
    request: Request, caller: CallerDep, services: ServicesDep, offset: Offset = 0
) -> Response:
    """Show the samples that are kept from workers which died of them."""
    check_unlimited(caller.viewer)
    with services.database.uow() as tx:
        found, now = list_poison(tx, Paging(limit=_ROWS, offset=offset)), tx.now
    return page(
        request,
        "poison.html",
        now=now,
        poison=[
            (each, _clear_hint(each.sample_sha256, each.worker)) for each in found.items
        ],
        **_place("/admin/poison", offset, found.items),
    )


@router.api_route("/admin/poison/clear", methods=SEND)
@needs(Role.ADMINISTRATOR)
def clear_poison(form: FormDep, caller: CallerDep, services: ServicesDep) -> Response:
    """Let a worker look at a sample again."""
    check_unlimited(caller.viewer)
    sha256, worker = field(form, "sample") or "", field(form, "worker") or ""
    with services.database.uow() as tx:
        poison_catalog.clear_poison(tx, sha256.lower(), worker, actor=caller.actor)
    return see("/admin/poison")


@router.api_route("/admin/rejected", methods=READ)
@needs(Role.ADMINISTRATOR)
def show_rejected(
    request: Request, caller: CallerDep, services: ServicesDep, offset: Offset = 0
) -> Response:
    """Show the messages that the consumer refused."""
    check_unlimited(caller.viewer)
    with services.database.uow() as tx:
        found, now = list_rejected(tx, Paging(limit=_ROWS, offset=offset)), tx.now
    return page(
        request,
        "rejected.html",
        now=now,
        rejected=[
            (each, each.beginning.decode("utf-8", "replace")) for each in found.items
        ],
        hint=Hint("assay doctor", "# how many: on the service's machine"),
        **_place("/admin/rejected", offset, found.items),
    )


@router.api_route("/admin/audit", methods=READ)
@needs(Role.ADMINISTRATOR)
def show_audit(  # noqa: PLR0913, PLR0917  (its filters)
    request: Request,
    caller: CallerDep,
    services: ServicesDep,
    actor: Word = "",
    action: Word = "",
    changed: Word = "",
    offset: Offset = 0,
) -> Response:
    """Show who changed what, when and from where."""
    check_unlimited(caller.viewer)
    wanted = AuditFilter(
        actor=actor or None, action=action or None, changed=changed or None
    )
    with services.database.uow() as tx:
        found = list_audit(tx, wanted, Paging(limit=_ROWS, offset=offset))
        now = tx.now
    return page(
        request,
        "audit.html",
        now=now,
        rows=found.items,
        actor=actor,
        action=action,
        changed=changed,
        actions=tuple(Action),
        hint=hint("assay audit --since 1d", "GET", "/audit"),
        **_place("/admin/audit", offset, found.items),
    )


def _keys_page(
    request: Request,
    caller: Caller,
    services: ServicesDep,
    *,
    issued: keys.IssuedKey | None = None,
) -> Response:
    check_unlimited(caller.viewer)
    with services.database.uow() as tx:
        found, customers, now = keys.list_keys(tx), keys.list_customers(tx), tx.now
    return page(
        request,
        "keys.html",
        now=now,
        keys=sorted(found, key=lambda key: key.created_at, reverse=True),
        customers=customers,
        roles=tuple(Role),
        issued=issued,
        hint=Hint("assay key create USER --role user", _NOT_OVER_HTTP),
        revoke_hint=lambda prefix: Hint(f"assay key revoke {prefix}", _NOT_OVER_HTTP),
    )


def _key_order(form: Form) -> keys.KeyOrder:
    return keys.KeyOrder(
        user_name=(field(form, "user") or "").strip(),
        role=_role(field(form, "role") or ""),
        customer=field(form, "customer") or DEFAULT_CUSTOMER,
        label=(field(form, "label") or "").strip(),
        networks=(field(form, "networks") or "").replace(",", " ").split() or None,
        lifetime=_lifetime((field(form, "days") or "").strip()),
    )


def _role(written: str) -> Role:
    try:
        return Role(written)
    except ValueError:
        known = ", ".join(Role)
        raise InvalidError(f"choose one of {known}", field="role") from None


def _lifetime(days: str) -> timedelta | None:
    if not days:
        return None
    if not days.isdecimal() or not 0 < int(days) <= _DAYS_MAX:
        raise InvalidError(f"give 1 to {_DAYS_MAX}, or nothing", field="days")
    return timedelta(days=int(days))


def _clear_hint(sha256: str, worker: str) -> Hint:
    command = f"assay poison clear {sha256} {worker}"
    return hint(command, "PUT", f"/poison/{sha256}/{worker}/clear")


def _place(path: str, offset: int, items: Sequence[object]) -> dict[str, Any]:
    """Return where in a list a page is, and its neighbours."""
    older = offset + _ROWS if len(items) == _ROWS else None
    newer = max(0, offset - _ROWS) if offset else None
    return {"list": path, "older": older, "newer": newer}
