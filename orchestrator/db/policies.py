"""
The default policy and its rules, as rows: workers and customers by id.

What they mean is ``domain/policy.py``'s; who may change them the API's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, insert, select, update

from orchestrator.db.tables import policy, policy_rule
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.policy import (
    ClassificationMatch,
    CustomerMatch,
    Match,
    SubmissionMatch,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyRow:
    """``worker_ids`` is ``None`` until somebody sets them."""

    worker_ids: tuple[UUID, ...] | None
    options: Mapping[str, str]
    updated_by: UUID | None
    updated_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleRow:
    """
    A rule.

    ``match``: one of {"customers": [id]}, {"types": [], "superTypes": []} and
    {"keys": [], "values": []}. ``action``: {"workers": {set, add, remove: [id]},
    "options": {set, add: {key: value}, remove: [key]}}, each part optional.
    """

    id: UUID
    name: str
    description: str
    match: Mapping[str, Any]
    action: Mapping[str, Any]
    created_by: UUID
    created_at: datetime
    updated_by: UUID | None
    updated_at: datetime | None
    deleted_by: UUID | None
    deleted_at: datetime | None


def get_policy(tx: Transaction, *, for_update: bool = False) -> PolicyRow:
    """
    Return the default policy.

    Args:
        for_update: Whoever changes it or a rule waits for whoever does so already.
    """
    statement = select(policy)
    if for_update:
        statement = statement.with_for_update(key_share=True)
    row = tx.connection.execute(statement).one()
    chosen = row.worker_ids
    return PolicyRow(
        worker_ids=None if chosen is None else tuple(chosen),
        options=row.options,
        updated_by=row.updated_by,
        updated_at=row.updated_at,
    )


def save_policy(
    tx: Transaction, values: Mapping[str, Any], *, user_id: UUID | None
) -> None:
    """Change columns of the default policy."""
    stamps = {"updated_by": user_id, "updated_at": tx.now}
    tx.connection.execute(update(policy).values(**values, **stamps))


def list_rules(tx: Transaction) -> list[RuleRow]:
    """Return the rules that are in force, oldest first."""
    rows = tx.connection.execute(
        select(policy_rule)
        .where(policy_rule.c.deleted_at.is_(None))
        .order_by(policy_rule.c.created_at, policy_rule.c.id)
    )
    return [rule_row(row) for row in rows]


def find_rule(tx: Transaction, rule_id: UUID) -> RuleRow | None:
    """Return one rule, a deleted one too."""
    row = tx.connection.execute(
        select(policy_rule).where(policy_rule.c.id == rule_id)
    ).first()
    return rule_row(row) if row else None


def add_rule(tx: Transaction, values: Mapping[str, Any]) -> None:
    """Insert a rule."""
    tx.connection.execute(insert(policy_rule).values(values))


def save_rule(tx: Transaction, rule_id: UUID, values: Mapping[str, Any]) -> None:
    """Change columns of a rule."""
    tx.connection.execute(
        update(policy_rule).where(policy_rule.c.id == rule_id).values(values)
    )


def rule_row(row: Row[Any]) -> RuleRow:
    """Build a rule from a row of its table."""
    return RuleRow(
        id=row.id,
        name=row.name,
        description=row.description,
        match=row.match,
        action=row.action,
        created_by=row.created_by,
        created_at=row.created_at,
        updated_by=row.updated_by,
        updated_at=row.updated_at,
        deleted_by=row.deleted_by,
        deleted_at=row.deleted_at,
    )


def match_of(document: Mapping[str, Any]) -> Match:
    """Return the match that a rule's row describes; customers go by id."""
    if "customers" in document:
        return CustomerMatch(customers=frozenset(document["customers"]))
    if "keys" in document:
        return SubmissionMatch(
            keys=frozenset(document["keys"]), values=frozenset(document["values"])
        )
    return ClassificationMatch(
        types=frozenset(document["types"]),
        super_types=frozenset(document["superTypes"]),
    )


def names_of(ids: Iterable[str], names: Mapping[str, str]) -> frozenset[str]:
    """Return the short names of those workers that are still here."""
    return frozenset(names[worker_id] for worker_id in ids if worker_id in names)


def named_workers(action: Mapping[str, Any]) -> list[str]:
    """Return the ids of all workers that a rule's action names, in order."""
    parts: Mapping[str, Sequence[str]] = action.get("workers") or {}
    return [worker_id for ids in parts.values() for worker_id in ids]
