"""
Reading the audit trail. It is written in ``db/audit.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, or_, select

from orchestrator.db.audit import Action
from orchestrator.db.tables import audit
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import InvalidError
from orchestrator.queries.lists import Listing, Order, Page, Paging, fetch_page

_LISTING = Listing(
    table=audit,
    sorts={"timestamp": audit.c.created_at},
    default=Order(name="timestamp", descending=True),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditFilter:
    """
    Which rows; ``None`` does not filter.

    ``actor``: ``user alice``, or ``alice`` for both the user and the account of that
    name. ``action``: ``worker.pause``, or ``worker`` for all that is done to workers.
    ``changed``: what was changed, by the id or name that the row has.
    """

    since: datetime | None = None
    actor: str | None = None
    action: str | None = None
    changed: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditView:
    """A row of the audit trail."""

    id: int
    actor: str
    source: str | None
    action: str
    changed: str
    detail: Mapping[str, Any]
    created_at: datetime


def list_audit(tx: Transaction, wanted: AuditFilter, paging: Paging) -> Page[AuditView]:
    """
    Return one page of the audit trail, the newest first.

    Raises:
        InvalidError: There is no such action.
    """
    conditions = _conditions(wanted)
    rows, total = fetch_page(tx, _LISTING, select(audit), *conditions, paging=paging)
    return Page(items=tuple(map(_view, rows)), total=total)


def _conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        conditions.append(audit.c.created_at >= wanted.since)
    if wanted.actor is not None:
        name = wanted.actor
        conditions.append(audit.c.actor.in_((name, f"user {name}", f"console {name}")))
    if wanted.action is not None:
        conditions.append(_is_action(wanted.action))
    if wanted.changed is not None:
        conditions.append(audit.c.object == wanted.changed)
    return conditions


def _is_action(name: str) -> ColumnElement[bool]:
    groups = {action.partition(".")[0] for action in Action}
    if name not in groups and name not in set(Action):
        raise InvalidError(
            f"there is no action '{name}'; ask for one of {', '.join(Action)},"
            f" or for all of {', '.join(sorted(groups))}",
            field="action",
        )
    return or_(audit.c.action == name, audit.c.action.startswith(f"{name}."))


def _view(row: Row[Any]) -> AuditView:
    return AuditView(
        id=row.id,
        actor=row.actor,
        source=row.source,
        action=row.action,
        changed=row.object,
        detail=row.detail,
        created_at=row.created_at,
    )
