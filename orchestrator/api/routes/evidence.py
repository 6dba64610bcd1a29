"""
Evidence over HTTP: files of analyses, streamed both ways.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Query, Request
from fastapi.responses import StreamingResponse

from orchestrator.api.deps import CallerDep, ServicesDep, guarded, needs
from orchestrator.api.http.body import (
    RAW_ANSWER,
    RAW_BODY,
    raw_answer,
    received_chunks,
    run_reader,
)
from orchestrator.api.http.envelope import (
    Envelope,
    ListEnvelope,
    created,
    listing,
    single,
)
from orchestrator.api.http.paging import PagingDep
from orchestrator.api.schemas.analysis import EvidenceResponse
from orchestrator.api.schemas.common import NAME_MAX, SHORT_NAME_PATTERN, Sha256Path
from orchestrator.catalog.evidence import NewEvidence, note_download, store_evidence
from orchestrator.contracts.wire import OPAQUE_MIME_TYPE
from orchestrator.domain.values import Role
from orchestrator.queries import evidence

router = guarded("evidence")

AnalysisID = Annotated[UUID, Path(alias="analysisID")]
#: One path takes a file in under its name and gives it out by its ID; OpenAPI knows a
#: path by its shape, so both are called the same.
EvidenceID = Annotated[UUID, Path(alias="evidence")]
FileName = Annotated[
    str, Path(alias="evidence", pattern=SHORT_NAME_PATTERN, max_length=NAME_MAX)
]


async def get_new_evidence(
    request: Request,
    sha256: Sha256Path,
    analysis_id: AnalysisID,
    file_name: FileName,
    *,
    internal: Annotated[bool, Query()] = False,
    malicious: Annotated[bool, Query(alias="potentiallyMalicious")] = False,
) -> NewEvidence:
    """Read what is said of a file; its bytes are the body."""
    return NewEvidence(
        sample_sha256=sha256,
        analysis_id=analysis_id,
        file_name=file_name,
        mime_type=request.headers.get("Content-Type", OPAQUE_MIME_TYPE)[:NAME_MAX],
        is_internal=internal,
        is_potentially_malicious=malicious,
    )


@router.post(
    "/sample/{sha256}/analysis/{analysisID}/evidence/{evidence}",
    status_code=HTTPStatus.CREATED,
    openapi_extra=RAW_BODY,
    responses={
        200: {
            "model": Envelope[EvidenceResponse],
            "description": "The file was there before.",
        },
    },
)
@needs(Role.ANALYZER)
async def upload_evidence(
    request: Request,
    new: Annotated[NewEvidence, Depends(get_new_evidence)],
    caller: CallerDep,
    services: ServicesDep,
) -> Envelope[EvidenceResponse]:
    """Add a file to an analysis: the raw bytes; 200 if it was there before."""
    limit = services.engine.limits.sample_max_bytes
    chunks = received_chunks(request, limit_bytes=limit)
    view, is_new = await run_reader(
        request,
        lambda: store_evidence(
            services.database,
            services.store,
            chunks,
            new,
            limit_bytes=limit,
            viewer=caller.viewer,
        ),
        user_id=caller.user_id,
    )
    return created(EvidenceResponse.of(view), is_new=is_new)


@router.get("/sample/{sha256}/analysis/{analysisID}/evidence")
@needs(Role.VIEWER)
def list_evidence(
    sha256: Sha256Path,
    analysis_id: AnalysisID,
    paging: PagingDep,
    caller: CallerDep,
    services: ServicesDep,
) -> ListEnvelope[EvidenceResponse]:
    """Return the files of an analysis, the newest first."""
    with services.database.uow() as tx:
        page = evidence.list_evidence(
            tx, sha256, analysis_id, paging, viewer=caller.viewer
        )
    shaped = [EvidenceResponse.of(view) for view in page.items]
    return listing(shaped, page=page, paging=paging)


@router.get("/sample/{sha256}/analysis/{analysisID}/evidence/{evidence}")
@needs(Role.VIEWER)
def get_evidence(
    sha256: Sha256Path,
    analysis_id: AnalysisID,
    evidence_id: EvidenceID,
    caller: CallerDep,
    services: ServicesDep,
) -> Envelope[EvidenceResponse]:
    """Return what is known of one file."""
    with services.database.uow() as tx:
        view = evidence.get_evidence(
            tx, sha256, analysis_id, evidence_id, viewer=caller.viewer
        )
    return single(EvidenceResponse.of(view))


@router.get(
    "/sample/{sha256}/analysis/{analysisID}/evidence/{evidence}/download",
    response_class=StreamingResponse,
    responses=RAW_ANSWER,
)
@needs(Role.VIEWER)
def download_evidence(
    sha256: Sha256Path,
    analysis_id: AnalysisID,
    evidence_id: EvidenceID,
    caller: CallerDep,
    services: ServicesDep,
) -> StreamingResponse:
    """Return the bytes of one file, as they are: it may be malicious."""
    with services.database.uow() as tx:
        view = evidence.get_evidence(
            tx, sha256, analysis_id, evidence_id, viewer=caller.viewer
        )
    answer = raw_answer(services.store, view.sha256, file_name=view.file_name)
    with services.database.uow() as tx:
        note_download(tx, view, sha256, actor=caller.actor)
    return answer
