"""
Analyses over HTTP.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Path

from orchestrator.api.deps import (
    ANALYSIS,
    CallerDep,
    ServicesDep,
    guarded,
    needs,
)
from orchestrator.api.http.envelope import Envelope, ListEnvelope, listing, single
from orchestrator.api.http.paging import PageDep
from orchestrator.api.schemas.analysis import (
    AnalysisAddRequest,
    AnalysisResult,
    AnalysisSummaryResponse,
)
from orchestrator.api.schemas.common import Sha256Path
from orchestrator.catalog.analyses import add_analysis
from orchestrator.db.access import check_customer
from orchestrator.db.users import get_customer_ids, get_user_ids
from orchestrator.domain.values import Role
from orchestrator.queries import analyses

router = guarded("analysis")


@router.get("/sample/{sha256}/analysis")
@needs(Role.VIEWER)
def list_analyses(
    sha256: Sha256Path, paging: PageDep, caller: CallerDep, services: ServicesDep
) -> ListEnvelope[AnalysisResult]:
    """Return the analyses of a sample, the newest first."""
    with services.database.uow() as tx:
        page = analyses.list_analyses(tx, sha256, paging, viewer=caller.viewer)
    shaped = [AnalysisResult.of(view) for view in page.items]
    return listing(shaped, page=page, paging=paging)


@router.get("/sample/{sha256}/analysis/summary")
@needs(Role.VIEWER)
def summarise_analyses(
    sha256: Sha256Path, caller: CallerDep, services: ServicesDep
) -> Envelope[AnalysisSummaryResponse]:
    """Return who analysed a sample, and the newest analysis."""
    with services.database.uow() as tx:
        summary = analyses.summarise_analyses(tx, sha256, viewer=caller.viewer)
    return single(AnalysisSummaryResponse.of(summary))


@router.get("/sample/{sha256}/analysis/{analysisID}")
@needs(Role.VIEWER)
def get_analysis(
    sha256: Sha256Path,
    analysis_id: Annotated[UUID, Path(alias="analysisID")],
    caller: CallerDep,
    services: ServicesDep,
) -> Envelope[AnalysisResult]:
    """Return one analysis."""
    with services.database.uow() as tx:
        view = analyses.get_analysis(tx, sha256, analysis_id, viewer=caller.viewer)
    return single(AnalysisResult.of(view))


@router.post("/sample/{sha256}/analysis")
@needs(Role.ANALYZER, body=ANALYSIS)
def post_analysis(
    sha256: Sha256Path,
    given: AnalysisAddRequest,
    caller: CallerDep,
    services: ServicesDep,
) -> Envelope[AnalysisResult]:
    """Add an analysis; the same one again within ten minutes is the first one."""
    with services.database.uow() as tx:
        (customer_id,) = get_customer_ids(tx, [given.customer])
        check_customer(caller.viewer, customer_id)
        acl = get_user_ids(tx, given.acl)
        found = given.findings(sha256, customer_id=customer_id, acl=acl)
        analysis_id = add_analysis(tx, found, user_id=caller.user_id)
        view = analyses.get_analysis(tx, sha256, analysis_id, viewer=caller.viewer)
    return single(AnalysisResult.of(view))
