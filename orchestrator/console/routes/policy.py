"""
The policy and its rules, as they are, and what a changed rule would do before it does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Path, Request, Response

from orchestrator.api.deps import Caller, CallerDep, Services, ServicesDep, needs
from orchestrator.api.schemas.policy import (
    PolicyUpdateRequest,
    RuleAddRequest,
    RuleResponse,
)
from orchestrator.catalog import policy as catalog
from orchestrator.catalog.rehearsal import SAMPLES_MAX, Rehearsal, rehearse
from orchestrator.console.forms import checked
from orchestrator.console.hints import hint
from orchestrator.console.page import page
from orchestrator.console.visitor import READ, SEND, Form, FormDep, field, pages, see
from orchestrator.console.written import pretty, write_rule
from orchestrator.db.access import check_unlimited
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import InvalidError
from orchestrator.domain.values import Role
from orchestrator.queries import policy as queries
from orchestrator.queries.lists import Paging
from orchestrator.queries.workers import list_workers

router = pages()

RuleID = Annotated[UUID, Path(alias="ruleID")]

#: What a new rule looks like.
_EXAMPLE: Final[dict[str, Any]] = {
    "name": "mail",
    "description": "what came by mail",
    "match": {"submission": {"metaDataKey": ["source"], "metaDataValue": ["mail"]}},
    "action": {"workers": {"add": ["document"]}},
}

#: Differences that a page shows.
_SHOWN_MAX: Final = 50


@router.api_route("/policy", methods=READ)
@needs(Role.ADMINISTRATOR)
def show_policy(request: Request, caller: CallerDep, services: ServicesDep) -> Response:
    """Show the default policy and its rules."""
    return _policy_page(request, caller, services)


@router.api_route("/policy/rules", methods=SEND)
@needs(Role.ADMINISTRATOR)
def change_rule(
    request: Request, form: FormDep, caller: CallerDep, services: ServicesDep
) -> Response:
    """Try a rule, new or changed, on what came last; or make it so."""
    written = field(form, "rule") or ""
    rule_id = _rule_id(form)
    change = _change(checked(RuleAddRequest, written), rule_id, caller)
    if field(form, "do") == "save":
        with services.database.uow() as tx:
            change(tx)
        return see("/policy")
    with services.database.uow() as tx:
        seen = rehearse(tx, change, engine=services.engine)
    tried = _Tried(rehearsal=seen, written=written, changed=rule_id)
    return _policy_page(request, caller, services, tried)


@router.api_route("/policy/rules/{ruleID}/delete", methods=SEND)
@needs(Role.ADMINISTRATOR)
def delete_rule(
    request: Request,
    rule_id: RuleID,
    form: FormDep,
    caller: CallerDep,
    services: ServicesDep,
) -> Response:
    """Try what is without a rule; or take it out of force."""

    def change(tx: Transaction) -> None:
        catalog.delete_rule(tx, rule_id, actor=caller.actor, viewer=caller.viewer)

    if field(form, "do") == "save":
        with services.database.uow() as tx:
            change(tx)
        return see("/policy")
    with services.database.uow() as tx:
        seen = rehearse(tx, change, engine=services.engine)
    tried = _Tried(rehearsal=seen, deleted=rule_id)
    return _policy_page(request, caller, services, tried)


@router.api_route("/policy/workers", methods=SEND)
@needs(Role.ADMINISTRATOR)
def set_workers(form: FormDep, caller: CallerDep, services: ServicesDep) -> Response:
    """Say which workers are in the default policy."""
    check_unlimited(caller.viewer)
    wanted = checked(PolicyUpdateRequest, {"workers": list(form.get("worker", ()))})
    with services.database.uow() as tx:
        catalog.set_policy(tx, wanted.change(), actor=caller.actor)
    return see("/policy")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tried:
    """A change that was tried: the rule as it was ``written``, or the one deleted."""

    rehearsal: Rehearsal
    written: str | None = None
    changed: UUID | None = None
    deleted: UUID | None = None


def _policy_page(
    request: Request, caller: Caller, services: Services, tried: _Tried | None = None
) -> Response:
    lease = services.engine.limits.lease
    with services.database.uow() as tx:
        policy = queries.get_policy(tx)
        rules = queries.list_rules(tx, Paging(limit=0), include_deleted=False).items
        every = Paging(limit=0)
        workers = list_workers(tx, every, include_deleted=False, lease=lease).items
        now = tx.now
    shaped = [RuleResponse.of(view) for view in rules]
    return page(
        request,
        "policy.html",
        now=now,
        policy=policy,
        chosen={worker.short_name for worker in policy.workers},
        workers=sorted(worker.short_name for worker in workers),
        rules=[(rule, write_rule(rule)) for rule in shaped],
        example=(tried and tried.written) or pretty(_EXAMPLE),
        changed=tried and tried.changed,
        deleted=tried and tried.deleted,
        tried=tried and tried.rehearsal,
        samples_max=SAMPLES_MAX,
        shown_max=_SHOWN_MAX,
        may_set=caller.viewer.customer_ids is None,
        hint=hint("assay policy show", "GET", "/policy/default/rule"),
        add_hint=hint("# over HTTP alone", "POST", "/policy/default/rule", _EXAMPLE),
    )


def _change(
    wanted: RuleAddRequest, rule_id: UUID | None, caller: Caller
) -> Callable[[Transaction], object]:
    actor, viewer = caller.actor, caller.viewer

    def change(tx: Transaction) -> None:
        if rule_id is None:
            catalog.add_rule(tx, wanted.change(), actor=actor, viewer=viewer)
        else:
            given = wanted.change()
            catalog.update_rule(tx, rule_id, given, actor=actor, viewer=viewer)

    return change


def _rule_id(form: Form) -> UUID | None:
    written = field(form, "id") or ""
    try:
        return UUID(written) if written else None
    except ValueError:
        raise InvalidError("is no id of a rule", field="id") from None
