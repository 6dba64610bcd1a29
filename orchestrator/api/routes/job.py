"""
Jobs over HTTP: ordering, reading, cancelling, retrying, explaining.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, NoReturn
from uuid import UUID

from fastapi import Path, Query
from starlette.exceptions import HTTPException

from orchestrator.api.changes import Verb, change
from orchestrator.api.deps import CallerDep, ServicesDep, guarded, needs
from orchestrator.api.http.envelope import (
    Envelope,
    ListEnvelope,
    created,
    listing,
    single,
)
from orchestrator.api.http.errors import LIMITED
from orchestrator.api.http.paging import PagingDep
from orchestrator.api.orders import read_order, view_job
from orchestrator.api.schemas.classification import ClassificationResponse
from orchestrator.api.schemas.job import (
    Choice,
    JobAddRequest,
    JobExplanation,
    JobResponse,
    JobSearchRequest,
    WaitingTask,
)
from orchestrator.catalog.submissions import place_orders
from orchestrator.db.access import check_sample
from orchestrator.domain.errors import AssayError
from orchestrator.domain.values import JobState, Role
from orchestrator.queries import jobs
from orchestrator.queries.choices import find_why_no_verdict, get_selection
from orchestrator.queries.jobs import JobFilter
from orchestrator.queries.samples import find_classification_of_job
from orchestrator.queries.waiting import list_waiting

router = guarded("job")

JobID = Annotated[UUID, Path(alias="jobID")]


@router.get("/job")
@needs(Role.VIEWER)
def list_jobs(
    paging: PagingDep,
    caller: CallerDep,
    services: ServicesDep,
    state: Annotated[list[JobState] | None, Query(max_length=len(JobState))] = None,
) -> ListEnvelope[JobResponse]:
    """Return jobs, the newest first."""
    with services.database.uow() as tx:
        wanted = JobFilter(states=state or ())
        page = jobs.list_jobs(tx, wanted, paging, viewer=caller.viewer)
    shaped = [JobResponse.of(view) for view in page.items]
    return listing(shaped, page=page, paging=paging)


@router.post("/job/search")
@needs(Role.VIEWER)
def search_jobs(
    wanted: JobSearchRequest, caller: CallerDep, services: ServicesDep
) -> ListEnvelope[JobResponse]:
    """Return the jobs that match every criterion."""
    paging = wanted.paging()
    with services.database.uow() as tx:
        found = wanted.filter(tx.now)
        page = jobs.list_jobs(tx, found, paging, viewer=caller.viewer)
    shaped = [JobResponse.of(view) for view in page.items]
    return listing(shaped, page=page, paging=paging)


@router.get("/job/bulk", include_in_schema=False, response_model=None)
@router.get("/job/search", include_in_schema=False, response_model=None)
@needs(Role.VIEWER)
def refuse_get() -> NoReturn:
    """
    Say how to ask, before the word is taken for a job's id.

    Raises:
        HTTPException: Always.
    """
    raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, "send it with POST")


@router.post(
    "/job",
    status_code=HTTPStatus.CREATED,
    responses={
        200: {
            "model": Envelope[JobResponse],
            "description": "A job with this ``idempotencyKey`` was here before.",
        },
        **LIMITED,
    },
)
@needs(Role.USER)
def add_job(
    ordered: JobAddRequest,
    caller: CallerDep,
    services: ServicesDep,
) -> Envelope[JobResponse]:
    """Order a job; 200 with the first one if its ``idempotencyKey`` came before."""
    with services.database.uow() as tx:
        order = read_order(tx, ordered, caller)
        check_sample(tx, caller.viewer, order.sample_sha256)
        (outcome,) = place_orders(tx, [order], engine=services.engine)
        if isinstance(outcome, AssayError):
            raise outcome
        view = view_job(tx, order, outcome)
    return created(JobResponse.of(view), is_new=outcome.is_new)


@router.get("/job/{jobID}")
@needs(Role.VIEWER)
def get_job(job_id: JobID, services: ServicesDep) -> Envelope[JobResponse]:
    """Return one job."""
    with services.database.uow() as tx:
        view = jobs.get_job(tx, job_id)
    return single(JobResponse.of(view))


@router.put("/job/{jobID}/cancel")
@needs(Role.USER)
def put_cancel(
    job_id: JobID, caller: CallerDep, services: ServicesDep
) -> Envelope[JobResponse]:
    """Cancel a job's open tasks; one that is over stays as it is."""
    with services.database.uow() as tx:
        view = change(tx, Verb.CANCEL, job_id, caller, engine=services.engine)
    return single(JobResponse.of(view))


@router.put("/job/{jobID}/retry", responses=LIMITED)
@needs(Role.USER)
def put_retry(
    job_id: JobID, caller: CallerDep, services: ServicesDep
) -> Envelope[JobResponse]:
    """Try a job's failed and timed-out tasks again."""
    with services.database.uow() as tx:
        view = change(tx, Verb.RETRY, job_id, caller, engine=services.engine)
    return single(JobResponse.of(view))


@router.get("/job/{jobID}/explain")
@needs(Role.VIEWER)
def explain_job(job_id: JobID, services: ServicesDep) -> Envelope[JobExplanation]:
    """Say why each worker was selected or not, what is waited for, and why there is
    no verdict.
    """
    lease = services.engine.limits.lease
    with services.database.uow() as tx:
        choices = get_selection(tx, job_id)
        kind = find_classification_of_job(tx, job_id)
        no_verdict = find_why_no_verdict(tx, job_id)
        waiting = list_waiting(tx, job_id, lease=lease)
    explained = JobExplanation(
        classification=ClassificationResponse.of(kind) if kind else None,
        workers=tuple(map(Choice.of, choices)),
        no_verdict=no_verdict,
        waiting=tuple(map(WaitingTask.of, waiting)),
    )
    return single(explained)
