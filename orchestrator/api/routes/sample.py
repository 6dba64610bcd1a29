"""
Samples over HTTP: taking them in, giving them out, and what is known of them.
"""

from __future__ import annotations

from http import HTTPStatus

from fastapi import Request
from fastapi.responses import StreamingResponse

from orchestrator.api.changes import reanalyse
from orchestrator.api.deps import CallerDep, ServicesDep, guarded, needs
from orchestrator.api.http.body import (
    RAW_ANSWER,
    RAW_BODY,
    ZIP_ANSWER,
    raw_answer,
    received_chunks,
    run_reader,
    zip_answer,
)
from orchestrator.api.http.envelope import (
    Envelope,
    ListEnvelope,
    created,
    listing,
    single,
)
from orchestrator.api.http.errors import LIMITED
from orchestrator.api.http.paging import PagingDep
from orchestrator.api.http.search import PeriodDep, WordsDep
from orchestrator.api.schemas.classification import (
    ClassificationResponse,
    ReclassifyRequest,
)
from orchestrator.api.schemas.common import Sha256Path
from orchestrator.api.schemas.job import JobResponse
from orchestrator.api.schemas.sample import (
    SampleCompleteUploadResponse,
    SampleMetaData,
)
from orchestrator.catalog.samples import (
    StoredSample,
    correct,
    note_download,
    reclassify,
    store_sample,
)
from orchestrator.db.quotas import count_upload
from orchestrator.db.samples import get_sample_size
from orchestrator.domain.values import Role
from orchestrator.queries import samples
from orchestrator.queries import search_samples as search

router = guarded("sample")

#: What an empty body says.
_CLASSIFY_AGAIN = ReclassifyRequest()


@router.post(
    "/sample",
    status_code=HTTPStatus.CREATED,
    openapi_extra=RAW_BODY,
    responses={
        200: {
            "model": Envelope[SampleCompleteUploadResponse],
            "description": "The sample was here before.",
        },
        **LIMITED,
    },
)
@needs(Role.UPLOADER)
async def upload_sample(
    request: Request, caller: CallerDep, services: ServicesDep
) -> Envelope[SampleCompleteUploadResponse]:
    """Take a sample in: the raw bytes, of any type; 200 if it was here before."""
    limits, owner = services.engine.limits, caller.owner
    chunks = received_chunks(request, limit_bytes=limits.sample_max_bytes)

    def store() -> StoredSample:
        with services.database.uow() as tx:
            count_upload(tx, caller.user_id, per_minute=limits.uploads_per_minute)
        return store_sample(
            services.database,
            services.store,
            chunks,
            limit_bytes=limits.sample_max_bytes,
            owner=owner,
            asked=services.classifier,
        )

    stored = await run_reader(request, store, user_id=caller.user_id)
    answer = SampleCompleteUploadResponse.of(stored)
    return created(answer, is_new=stored.is_new)


@router.get("/sample")
@needs(Role.VIEWER)
def search_samples(
    words: WordsDep,
    period: PeriodDep,
    paging: PagingDep,
    caller: CallerDep,
    services: ServicesDep,
) -> ListEnvelope[SampleMetaData]:
    """Return the samples that the caller may see, the newest first."""
    with services.database.uow() as tx:
        page = search.search_samples(
            tx, words, period(tx.now), paging, viewer=caller.viewer
        )
    shaped = [SampleMetaData.of(view) for view in page.items]
    return listing(shaped, page=page, paging=paging)


@router.get("/sample/{sha256}")
@needs(Role.VIEWER)
def get_sample(
    sha256: Sha256Path, caller: CallerDep, services: ServicesDep
) -> Envelope[SampleMetaData]:
    """Return what is known of a sample, its current verdict included."""
    with services.database.uow() as tx:
        found = samples.get_sample(tx, sha256, viewer=caller.viewer)
    return single(SampleMetaData.of(found))


@router.get(
    "/sample/{sha256}/raw", response_class=StreamingResponse, responses=RAW_ANSWER
)
@needs(Role.VIEWER)
def download_sample(
    sha256: Sha256Path, caller: CallerDep, services: ServicesDep
) -> StreamingResponse:
    """Return the bytes of a sample, as they are: it may be malicious."""
    with services.database.uow() as tx:
        get_sample_size(tx, sha256)
    answer = raw_answer(services.store, sha256)
    with services.database.uow() as tx:
        note_download(tx, sha256, form="raw", actor=caller.actor)
    return answer


@router.get(
    "/sample/{sha256}/safe", response_class=StreamingResponse, responses=ZIP_ANSWER
)
@needs(Role.VIEWER)
def download_safe_sample(
    sha256: Sha256Path, caller: CallerDep, services: ServicesDep
) -> StreamingResponse:
    """Return a sample in an AES-encrypted ZIP, password ``infected``."""
    with services.database.uow() as tx:
        get_sample_size(tx, sha256)
    answer = zip_answer(services.store, sha256)
    with services.database.uow() as tx:
        note_download(tx, sha256, form="zip", actor=caller.actor)
    return answer


@router.put("/sample/{sha256}/reclassify")
@needs(Role.ANALYZER)
def reclassify_sample(
    sha256: Sha256Path,
    caller: CallerDep,
    services: ServicesDep,
    form: ReclassifyRequest = _CLASSIFY_AGAIN,
) -> Envelope[ClassificationResponse]:
    """Classify a sample again, or correct what it is; a new row if that changes."""
    correction = form.correction()
    if correction is None:
        view = reclassify(
            services.database, services.store, sha256, asked=services.classifier
        )
    else:
        with services.database.uow() as tx:
            view = correct(tx, sha256, correction, actor=caller.actor)
    return single(ClassificationResponse.of(view))


@router.put("/sample/{sha256}/reanalyse", responses=LIMITED)
@needs(Role.USER)
def reanalyse_sample(
    sha256: Sha256Path, caller: CallerDep, services: ServicesDep
) -> Envelope[JobResponse]:
    """Analyse a sample again; a repeat within a minute answers the first one's job."""
    with services.database.uow() as tx:
        view = reanalyse(tx, sha256, caller, engine=services.engine)
    return single(JobResponse.of(view))


@router.get("/sample/{sha256}/classification")
@needs(Role.VIEWER)
def list_classifications(
    sha256: Sha256Path, paging: PagingDep, services: ServicesDep
) -> ListEnvelope[ClassificationResponse]:
    """Return what kind of file a sample is, newest answer first."""
    with services.database.uow() as tx:
        page = samples.list_classifications(tx, sha256, paging)
    shaped = [ClassificationResponse.of(view) for view in page.items]
    return listing(shaped, page=page, paging=paging)
