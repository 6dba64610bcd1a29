"""
Analyses over HTTP.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path

from orchestrator.api.deps import CallerDep, GuardedRoute, ServicesDep, needs
from orchestrator.api.envelope import (
    Envelope,
    ListEnvelope,
    MessageType,
    ResultMessage,
    listing,
    single,
)
from orchestrator.api.paging import WindowDep
from orchestrator.api.schemas.analysis import AnalysisAddRequest, AnalysisResult
from orchestrator.api.schemas.common import Sha256Path
from orchestrator.domain.values import Role
from orchestrator.flow import read_analyses
from orchestrator.flow.analyse import add_analysis
from orchestrator.flow.read import find_customer_ids

router = APIRouter(route_class=GuardedRoute, tags=["analysis"])

_NO_ACCESS_LISTS = "access lists are not kept: who may view samples sees the analysis"


@router.get("/sample/{sha256}/analysis")
@needs(Role.VIEWER)
def list_analyses(
    sha256: Sha256Path, paging: WindowDep, services: ServicesDep
) -> ListEnvelope[AnalysisResult]:
    """Return the analyses of a sample, the newest first."""
    with services.database.uow() as tx:
        page = read_analyses.list_analyses(tx, sha256, paging)
    shaped = [AnalysisResult.of(one) for one in page.items]
    return listing(shaped, page=page, paging=paging)


@router.get("/sample/{sha256}/analysis/{analysisID}")
@needs(Role.VIEWER)
def get_analysis(
    sha256: Sha256Path,
    analysis_id: Annotated[UUID, Path(alias="analysisID")],
    services: ServicesDep,
) -> Envelope[AnalysisResult]:
    """Return one analysis."""
    with services.database.uow() as tx:
        view = read_analyses.get_analysis(tx, sha256, analysis_id)
    return single(AnalysisResult.of(view))


@router.post("/sample/{sha256}/analysis")
@needs(Role.ANALYZER)
def post_analysis(
    sha256: Sha256Path,
    given: AnalysisAddRequest,
    caller: CallerDep,
    services: ServicesDep,
) -> Envelope[AnalysisResult]:
    """Add an analysis; the same one again within ten minutes is the first one."""
    with services.database.uow() as tx:
        (customer_id,) = find_customer_ids(tx, [given.customer])
        found = given.findings(sha256, customer_id=customer_id)
        analysis_id = add_analysis(tx, found, user_id=caller.user_id)
        view = read_analyses.get_analysis(tx, sha256, analysis_id)
    return single(AnalysisResult.of(view), messages=_warnings(given))


def _warnings(given: AnalysisAddRequest) -> list[ResultMessage]:
    if not given.acl:
        return []
    return [
        ResultMessage(
            message=_NO_ACCESS_LISTS,
            message_template=_NO_ACCESS_LISTS,
            type=MessageType.WARNING,
            field="acl",
        )
    ]
