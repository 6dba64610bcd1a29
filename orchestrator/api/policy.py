"""
The default policy and its rules over HTTP.
"""

# ruff: noqa: FAST003  (id is the alias in RuleID)
from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response

from orchestrator.api.deps import CallerDep, GuardedRoute, ServicesDep, needs
from orchestrator.api.envelope import Envelope, ListEnvelope, created, listing, single
from orchestrator.api.paging import WindowDep
from orchestrator.api.schemas.policy import (
    PolicyResponse,
    PolicyUpdateRequest,
    RuleAddRequest,
    RuleResponse,
    RuleUpdateRequest,
)
from orchestrator.domain.values import Role
from orchestrator.flow import policy, read_policy

router = APIRouter(route_class=GuardedRoute, tags=["policy"])

RuleID = Annotated[UUID, Path(alias="id")]


@router.get("/policy/default")
@needs(Role.ADMINISTRATOR)
def get_policy(services: ServicesDep) -> Envelope[PolicyResponse]:
    """Return the default policy; until somebody sets it, every worker is in it."""
    with services.database.uow() as tx:
        view = read_policy.get_policy(tx)
    return single(PolicyResponse.of(view))


@router.put("/policy/default")
@needs(Role.ADMINISTRATOR)
def update_policy(
    given: PolicyUpdateRequest, caller: CallerDep, services: ServicesDep
) -> Envelope[PolicyResponse]:
    """Replace the workers or the options of the default policy, or both."""
    with services.database.uow() as tx:
        policy.set_policy(tx, given.change(), actor=caller.actor)
        view = read_policy.get_policy(tx)
    return single(PolicyResponse.of(view))


@router.get("/policy/default/rule")
@needs(Role.ADMINISTRATOR)
def list_rules(
    window: WindowDep,
    services: ServicesDep,
    include_deleted: Annotated[bool, Query(alias="includeDeleted")] = False,  # noqa: FBT002  (a query parameter)
) -> ListEnvelope[RuleResponse]:
    """Return the rules, oldest first."""
    with services.database.uow() as tx:
        page = read_policy.list_rules(tx, window, include_deleted=include_deleted)
    shaped = [RuleResponse.of(one) for one in page.items]
    return listing(shaped, page=page, paging=window)


@router.post("/policy/default/rule", status_code=HTTPStatus.CREATED)
@needs(Role.ADMINISTRATOR)
def add_rule(
    given: RuleAddRequest,
    response: Response,
    caller: CallerDep,
    services: ServicesDep,
) -> Envelope[RuleResponse]:
    """Add an exception to the default policy."""
    with services.database.uow() as tx:
        rule_id = policy.add_rule(tx, given.change(), actor=caller.actor)
        view = read_policy.get_rule(tx, rule_id)
    return created(RuleResponse.of(view), response)


@router.get("/policy/default/rule/{id}")
@needs(Role.ADMINISTRATOR)
def get_rule(rule_id: RuleID, services: ServicesDep) -> Envelope[RuleResponse]:
    """Return one rule, a deleted one too."""
    with services.database.uow() as tx:
        view = read_policy.get_rule(tx, rule_id)
    return single(RuleResponse.of(view))


@router.put("/policy/default/rule/{id}")
@needs(Role.ADMINISTRATOR)
def update_rule(
    rule_id: RuleID,
    given: RuleUpdateRequest,
    caller: CallerDep,
    services: ServicesDep,
) -> Envelope[RuleResponse]:
    """Change what is given; a match or an action replaces the whole one."""
    with services.database.uow() as tx:
        policy.update_rule(tx, rule_id, given.change(), actor=caller.actor)
        view = read_policy.get_rule(tx, rule_id)
    return single(RuleResponse.of(view))


@router.delete("/policy/default/rule/{id}")
@needs(Role.ADMINISTRATOR)
def delete_rule(
    rule_id: RuleID, caller: CallerDep, services: ServicesDep
) -> Envelope[RuleResponse]:
    """Take a rule out of force; it stays readable, and a repeat changes nothing."""
    with services.database.uow() as tx:
        policy.delete_rule(tx, rule_id, actor=caller.actor)
        view = read_policy.get_rule(tx, rule_id)
    return single(RuleResponse.of(view))
