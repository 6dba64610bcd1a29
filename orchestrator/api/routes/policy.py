"""
The default policy and its rules over HTTP.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Path, Query, Request

from orchestrator.api.deps import CallerDep, ServicesDep, guarded, needs
from orchestrator.api.http.body import RAW_BODY, received_chunks, run_reader
from orchestrator.api.http.envelope import (
    Envelope,
    ListEnvelope,
    created,
    listing,
    single,
)
from orchestrator.api.http.paging import PageDep
from orchestrator.api.schemas.policy import (
    PolicyExplanation,
    PolicyResponse,
    PolicyUpdateRequest,
    RuleAddRequest,
    RuleResponse,
    RuleUpdateRequest,
)
from orchestrator.catalog import policy as catalog
from orchestrator.classify import decide
from orchestrator.db.access import check_unlimited
from orchestrator.domain.errors import InvalidError
from orchestrator.domain.policy import Tlp
from orchestrator.domain.values import Role
from orchestrator.flow.explain import Explanation, Intention, explain_policy
from orchestrator.queries import policy as queries
from orchestrator.store import measure

router = guarded("policy")

RuleID = Annotated[UUID, Path(alias="id")]


@router.get("/policy/default")
@needs(Role.ADMINISTRATOR)
def get_policy(services: ServicesDep) -> Envelope[PolicyResponse]:
    """Return the default policy; until somebody sets it, every worker is in it."""
    with services.database.uow() as tx:
        view = queries.get_policy(tx)
    return single(PolicyResponse.of(view))


@router.put("/policy/default")
@needs(Role.ADMINISTRATOR)
def update_policy(
    given: PolicyUpdateRequest, caller: CallerDep, services: ServicesDep
) -> Envelope[PolicyResponse]:
    """Replace the workers or the options of the default policy, or both."""
    check_unlimited(caller.viewer)
    with services.database.uow() as tx:
        catalog.set_policy(tx, given.change(), actor=caller.actor)
        view = queries.get_policy(tx)
    return single(PolicyResponse.of(view))


async def get_intention(
    caller: CallerDep,
    tlp: Annotated[Literal["amber", "green", "clear"], Query()] = "amber",
    metadata: Annotated[
        list[str] | None,
        Query(alias="metaData", max_length=100, description="``key=value``."),
    ] = None,
) -> Intention:
    """Read how a file would be submitted."""
    pairs = [entry.partition("=") for entry in metadata or ()]
    if not all(key and equals for key, equals, _ in pairs):
        raise InvalidError("write each as key=value", field="metaData")
    return Intention(
        customer_id=caller.owner.customer_id,
        tlp=Tlp(tlp),
        metadata={key: value for key, _, value in pairs},
    )


@router.post(
    "/policy/default/explain",
    openapi_extra=RAW_BODY,
)
@needs(Role.UPLOADER)
async def explain_file(
    request: Request,
    intention: Annotated[Intention, Depends(get_intention)],
    caller: CallerDep,
    services: ServicesDep,
) -> Envelope[PolicyExplanation]:
    """Say who would look at a file, the raw bytes, and why; nothing is kept of it."""
    limit = services.engine.limits.sample_max_bytes
    chunks = received_chunks(request, limit_bytes=limit)

    def explain() -> Explanation:
        measured = measure(chunks, limit_bytes=limit)
        size = measured.digests.size
        found = decide(measured.head, measured.tail, size, asked=services.classifier)
        with services.database.uow() as tx:
            return explain_policy(
                tx, measured, found, intention, engine=services.engine
            )

    explanation = await run_reader(request, explain, user_id=caller.user_id)
    return single(PolicyExplanation.of(explanation))


@router.get("/policy/default/rule")
@needs(Role.ADMINISTRATOR)
def list_rules(
    paging: PageDep,
    services: ServicesDep,
    include_deleted: Annotated[bool, Query(alias="includeDeleted")] = False,  # noqa: FBT002  (a query parameter)
) -> ListEnvelope[RuleResponse]:
    """Return the rules, oldest first."""
    with services.database.uow() as tx:
        page = queries.list_rules(tx, paging, include_deleted=include_deleted)
    shaped = [RuleResponse.of(view) for view in page.items]
    return listing(shaped, page=page, paging=paging)


@router.post("/policy/default/rule", status_code=HTTPStatus.CREATED)
@needs(Role.ADMINISTRATOR)
def add_rule(
    given: RuleAddRequest,
    caller: CallerDep,
    services: ServicesDep,
) -> Envelope[RuleResponse]:
    """Add an exception to the default policy."""
    with services.database.uow() as tx:
        rule_id = catalog.add_rule(
            tx, given.change(), actor=caller.actor, viewer=caller.viewer
        )
        view = queries.get_rule(tx, rule_id)
    return created(RuleResponse.of(view))


@router.get("/policy/default/rule/{id}")
@needs(Role.ADMINISTRATOR)
def get_rule(rule_id: RuleID, services: ServicesDep) -> Envelope[RuleResponse]:
    """Return one rule, a deleted one too."""
    with services.database.uow() as tx:
        view = queries.get_rule(tx, rule_id)
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
        catalog.update_rule(
            tx, rule_id, given.change(), actor=caller.actor, viewer=caller.viewer
        )
        view = queries.get_rule(tx, rule_id)
    return single(RuleResponse.of(view))


@router.delete("/policy/default/rule/{id}")
@needs(Role.ADMINISTRATOR)
def delete_rule(
    rule_id: RuleID, caller: CallerDep, services: ServicesDep
) -> Envelope[RuleResponse]:
    """Take a rule out of force; it stays readable, and a repeat changes nothing."""
    with services.database.uow() as tx:
        catalog.delete_rule(tx, rule_id, actor=caller.actor, viewer=caller.viewer)
        view = queries.get_rule(tx, rule_id)
    return single(RuleResponse.of(view))
