"""
Reading the default policy and its rules for people: workers and customers with names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from orchestrator.db import policies
from orchestrator.db.policies import RuleRow
from orchestrator.db.tables import customer, policy_rule, worker
from orchestrator.db.unit_of_work import Transaction
from orchestrator.db.users import (
    Customer,
    UserView,
    customer_columns,
    customer_view,
    find_users,
)
from orchestrator.domain.errors import NotFoundError
from orchestrator.queries.lists import Listing, Order, Page, Paging, fetch_page

_RULES = Listing(
    table=policy_rule,
    sorts={"createdTimestamp": policy_rule.c.created_at},
    default=Order(name="createdTimestamp"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerName:
    """A worker as policy and rules name it."""

    id: UUID
    short_name: str
    localized_name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyView:
    """The default policy; while nobody has set it, what it means now."""

    workers: tuple[WorkerName, ...]
    options: Mapping[str, str]
    updated_by: UserView | None
    updated_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleView:
    """A rule. ``match`` and ``action`` as in :class:`RuleRow`, looked up there."""

    row: RuleRow
    customers: tuple[Customer, ...]
    workers: Mapping[str, WorkerName]
    created_by: UserView | None
    updated_by: UserView | None
    deleted_by: UserView | None


def get_policy(tx: Transaction) -> PolicyView:
    """Return the default policy, with those of its workers that are still here."""
    row = policies.get_policy(tx)
    known = _workers(tx)
    here = select(worker.c.id).where(worker.c.deleted_at.is_(None))
    if row.worker_ids is None:
        chosen = here.where(worker.c.version.is_not(None))
    else:
        chosen = here.where(worker.c.id.in_(row.worker_ids))
    ids = tx.connection.execute(chosen).scalars()
    named = [known[str(worker_id)] for worker_id in ids]
    return PolicyView(
        workers=tuple(sorted(named, key=lambda known_worker: known_worker.short_name)),
        options=row.options,
        updated_by=find_users(tx, {row.updated_by}).get(row.updated_by),
        updated_at=row.updated_at,
    )


def list_rules(
    tx: Transaction, paging: Paging, *, include_deleted: bool
) -> Page[RuleView]:
    """Return one page of the rules, oldest first."""
    conditions = [] if include_deleted else [policy_rule.c.deleted_at.is_(None)]
    rows, total = fetch_page(
        tx, _RULES, select(policy_rule), *conditions, paging=paging
    )
    views = _views(tx, [policies.rule_row(row) for row in rows])
    return Page(items=views, total=total)


def get_rule(tx: Transaction, rule_id: UUID) -> RuleView:
    """
    Return one rule, a deleted one too.

    Raises:
        NotFoundError: There is none.
    """
    found = policies.find_rule(tx, rule_id)
    if found is None:
        raise NotFoundError(f"there is no rule {rule_id}", field="id")
    return _views(tx, [found])[0]


def _views(tx: Transaction, rows: Sequence[RuleRow]) -> tuple[RuleView, ...]:
    people = {row.created_by for row in rows}
    users = find_users(
        tx,
        people | {row.updated_by for row in rows} | {row.deleted_by for row in rows},
    )
    workers, customers = _workers(tx), _customers(tx)
    return tuple(
        RuleView(
            row=row,
            customers=tuple(
                customers[customer_id] for customer_id in row.match.get("customers", ())
            ),
            workers={
                worker_id: workers[worker_id]
                for worker_id in policies.named_workers(row.action)
            },
            created_by=users.get(row.created_by),
            updated_by=users.get(row.updated_by),
            deleted_by=users.get(row.deleted_by),
        )
        for row in rows
    )


def _workers(tx: Transaction) -> dict[str, WorkerName]:
    rows = tx.connection.execute(
        select(worker.c.id, worker.c.short_name, worker.c.localized_names)
    )
    return {
        str(row.id): WorkerName(
            id=row.id,
            short_name=row.short_name,
            localized_name=row.localized_names.get("english", row.short_name),
        )
        for row in rows
    }


def _customers(tx: Transaction) -> dict[str, Customer]:
    rows = tx.connection.execute(select(customer, *customer_columns()))
    return {str(row.owner_id): customer_view(row) for row in rows}
