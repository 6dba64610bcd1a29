"""
Verdicts over HTTP.
"""

from __future__ import annotations

from http import HTTPStatus

from orchestrator.api.deps import CallerDep, ServicesDep, guarded, needs
from orchestrator.api.http.envelope import Envelope, ListEnvelope, created, listing
from orchestrator.api.http.paging import PagingDep
from orchestrator.api.schemas.common import Sha256Path
from orchestrator.api.schemas.verdict import VerdictAddRequest, VerdictResponse
from orchestrator.catalog.analyses import add_manual_verdict
from orchestrator.domain.values import Role
from orchestrator.domain.verdict import StatusOverride
from orchestrator.queries import verdicts

router = guarded("verdict")


@router.get("/sample/{sha256}/verdict")
@needs(Role.VIEWER)
def list_verdicts(
    sha256: Sha256Path, paging: PagingDep, caller: CallerDep, services: ServicesDep
) -> ListEnvelope[VerdictResponse]:
    """Return the verdicts of a sample, the newest first."""
    with services.database.uow() as tx:
        page = verdicts.list_verdicts(tx, sha256, paging, viewer=caller.viewer)
    shaped = [VerdictResponse.of(view) for view in page.items]
    return listing(shaped, page=page, paging=paging)


@router.post("/sample/{sha256}/verdict", status_code=HTTPStatus.CREATED)
@needs(Role.ANALYZER)
def post_verdict(
    sha256: Sha256Path,
    given: VerdictAddRequest,
    caller: CallerDep,
    services: ServicesDep,
) -> Envelope[VerdictResponse]:
    """Say by hand what a sample is; it stands in every later verdict."""
    with services.database.uow() as tx:
        verdict_id = add_manual_verdict(
            tx,
            sha256,
            comment=given.comment,
            status_override=StatusOverride(given.status_override),
            actor=caller.actor,
        )
        view = verdicts.get_verdict(tx, verdict_id, viewer=caller.viewer)
    return created(VerdictResponse.of(view))
