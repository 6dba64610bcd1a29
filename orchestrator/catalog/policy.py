"""
Changing the default policy and its rules.

What they do to a selection is ``domain/policy.py``'s. Here names become ids, and a rule
that another one contradicts is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from orchestrator.db import audit, policies
from orchestrator.db.access import check_customer, check_unlimited
from orchestrator.db.audit import Action
from orchestrator.db.policies import PolicyRow, RuleRow
from orchestrator.db.unit_of_work import Transaction
from orchestrator.db.users import get_customer_ids
from orchestrator.db.workers import list_workers
from orchestrator.domain.errors import ConflictError, NotFoundError, UnknownWorkerError
from orchestrator.domain.policy import (
    ClassificationMatch,
    CustomerMatch,
    Match,
    OptionAction,
    SubmissionMatch,
    claims,
)
from orchestrator.domain.values import Actor
from orchestrator.domain.viewer import Viewer

#: The parts of a worker action, which an option action has too.
_WORKER_PARTS = ("set", "add", "remove")


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyChange:
    """What is to change in the default policy; ``None`` stays. Workers by any name."""

    workers: Sequence[str] | None = None
    options: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerNames:
    """Workers by short name or id; ``set`` is ``None`` where nothing is set."""

    set: Sequence[str] | None = None
    add: Sequence[str] = ()
    remove: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleAction:
    """What a rule changes."""

    workers: WorkerNames = field(default_factory=WorkerNames)
    options: OptionAction = field(default_factory=OptionAction)


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleChange:
    """What a rule says; ``None`` stays. Customers by short name, number or id."""

    name: str | None = None
    description: str | None = None
    match: Match | None = None
    action: RuleAction | None = None


def set_policy(tx: Transaction, change: PolicyChange, *, actor: Actor) -> None:
    """
    Replace the workers or the options of the default policy.

    Raises:
        UnknownWorkerError: A worker is not registered.
    """
    before = policies.get_policy(tx, for_update=True)
    values: dict[str, Any] = {}
    if change.workers is not None:
        ids = _ids(tx, change.workers, field_name="workers")
        values["worker_ids"] = [UUID(worker_id) for worker_id in ids]
    if change.options is not None:
        values["options"] = dict(change.options)
    policies.save_policy(tx, values, user_id=actor.user_id)
    changed = _changed(tx, before, values)
    if changed:
        audit.record(tx, actor, Action.POLICY_UPDATE, "default", changed)


def add_rule(
    tx: Transaction, given: RuleChange, *, actor: Actor, viewer: Viewer
) -> UUID:
    """
    Add a rule with all that it says.

    Raises:
        ConflictError: Another rule decides about the same samples.
        UnknownWorkerError: A worker is not registered.
        InvalidError: There is no such customer.
        PermissionDeniedError: It is not about the viewer's customers alone.
    """
    policies.get_policy(tx, for_update=True)
    rule_id = uuid7()
    values = _values(tx, given)
    _check_viewer(viewer, values["match"])
    _check_match(tx, rule_id, values["match"])
    policies.add_rule(tx, {"id": rule_id, "created_by": actor.user_id, **values})
    audit.record(tx, actor, Action.RULE_ADD, rule_id, _changed(tx, None, values))
    return rule_id


def update_rule(
    tx: Transaction,
    rule_id: UUID,
    given: RuleChange,
    *,
    actor: Actor,
    viewer: Viewer,
) -> None:
    """
    Change what is given; a match or an action replaces the whole one.

    Raises:
        NotFoundError: There is no such rule, or it is deleted.
        ConflictError: Another rule decides about the same samples.
        UnknownWorkerError: A worker is not registered.
        InvalidError: There is no such customer.
        PermissionDeniedError: It is, or would be, about others than the viewer's
            customers.
    """
    policies.get_policy(tx, for_update=True)
    found = policies.find_rule(tx, rule_id)
    if found is None or found.deleted_at is not None:
        raise _unknown(rule_id)
    values = _values(tx, given)
    _check_viewer(viewer, found.match)
    if "match" in values:
        _check_viewer(viewer, values["match"])
        _check_match(tx, rule_id, values["match"])
    stamps = {"updated_by": actor.user_id, "updated_at": tx.now}
    policies.save_rule(tx, rule_id, {**values, **stamps})
    changed = _changed(tx, found, values)
    if changed:
        audit.record(tx, actor, Action.RULE_UPDATE, rule_id, changed)


def delete_rule(
    tx: Transaction, rule_id: UUID, *, actor: Actor, viewer: Viewer
) -> bool:
    """
    Take a rule out of force; a repeat changes nothing.

    Returns:
        Whether this call did it.

    Raises:
        NotFoundError: There is no such rule.
        PermissionDeniedError: It is not about the viewer's customers alone.
    """
    policies.get_policy(tx, for_update=True)
    found = policies.find_rule(tx, rule_id)
    if found is None:
        raise _unknown(rule_id)
    _check_viewer(viewer, found.match)
    if found.deleted_at is not None:
        return False
    stamps = {"deleted_by": actor.user_id, "deleted_at": tx.now}
    policies.save_rule(tx, rule_id, stamps)
    audit.record(tx, actor, Action.RULE_DELETE, rule_id, {"name": found.name})
    return True


def _values(tx: Transaction, given: RuleChange) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if given.name is not None:
        values["name"] = given.name
    if given.description is not None:
        values["description"] = given.description
    if given.match is not None:
        values["match"] = _match_document(tx, given.match)
    if given.action is not None:
        values["action"] = _action_document(tx, given.action)
    return values


def _changed(
    tx: Transaction, before: PolicyRow | RuleRow | None, values: Mapping[str, Any]
) -> dict[str, Any]:
    """Return {field: {"from", "to"}} for the audit trail."""
    names = {str(worker.id): worker.short_name for worker in list_workers(tx)}
    old = {name: getattr(before, name, None) for name in values}
    return {
        "workers" if name == "worker_ids" else name: {
            "from": _shown(name, old[name], names),
            "to": _shown(name, value, names),
        }
        for name, value in values.items()
        if old[name] is None or not _equal(old[name], value)
    }


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, tuple):
        return set(first) == set(second)
    return bool(first == second)


def _shown(name: str, value: Any, names: Mapping[str, str]) -> Any:
    # Workers by name. Of options the keys alone: what a worker is given may be secret.
    if value is None:
        return None
    if name == "worker_ids":
        return sorted(policies.names_of(map(str, value), names))
    if name == "options":
        return sorted(value)
    if name == "action":
        workers, options = value.get("workers", {}), value.get("options", {})
        return {
            "workers": {
                part: sorted(policies.names_of(workers[part], names))
                for part in workers
            },
            "options": {part: sorted(options[part]) for part in options},
        }
    return value


def _check_viewer(viewer: Viewer, document: Mapping[str, Any]) -> None:
    # A match without customers is about everybody's samples.
    match = policies.match_of(document)
    if not isinstance(match, CustomerMatch):
        check_unlimited(viewer)
        return
    for customer_id in match.customers:
        check_customer(viewer, UUID(customer_id))


def _check_match(tx: Transaction, rule_id: UUID, document: Mapping[str, Any]) -> None:
    wanted = claims(policies.match_of(document))
    for other in policies.list_rules(tx):
        if other.id != rule_id and wanted & claims(policies.match_of(other.match)):
            raise ConflictError(
                f"rule '{other.name}' decides about the same samples already;"
                " change that one, or match others",
                field="match",
            )


def _match_document(tx: Transaction, match: Match) -> dict[str, Any]:
    match match:
        case CustomerMatch():
            ids = get_customer_ids(tx, sorted(match.customers))
            return {"customers": sorted(str(customer_id) for customer_id in ids)}
        case SubmissionMatch():
            return {"keys": sorted(match.keys), "values": sorted(match.values)}
        case ClassificationMatch():
            types, super_types = sorted(match.types), sorted(match.super_types)
            return {"types": types, "superTypes": super_types}


def _action_document(tx: Transaction, action: RuleAction) -> dict[str, Any]:
    workers = {
        part: _ids(tx, named, field_name=f"action.workers.{part}")
        for part in _WORKER_PARTS
        # Setting nobody is something: then only those that are added run.
        if (named := getattr(action.workers, part)) or (part == "set" and named == ())
    }
    options: dict[str, Any] = {}
    if action.options.set is not None:
        options["set"] = dict(action.options.set)
    if action.options.add:
        options["add"] = dict(action.options.add)
    if action.options.remove:
        options["remove"] = sorted(action.options.remove)
    return {"workers": workers, "options": options}


def _ids(tx: Transaction, named: Sequence[str], *, field_name: str) -> list[str]:
    present = [worker for worker in list_workers(tx) if not worker.is_deleted]
    known = {worker.short_name: str(worker.id) for worker in present}
    known |= {str(worker.id): str(worker.id) for worker in present}
    unknown = [name for name in named if name not in known]
    if unknown:
        raise UnknownWorkerError(
            f"{field_name}: not registered: {', '.join(unknown)}", field=field_name
        )
    return list(dict.fromkeys(known[name] for name in named))


def _unknown(rule_id: UUID) -> NotFoundError:
    return NotFoundError(f"there is no rule {rule_id}", field="id")
