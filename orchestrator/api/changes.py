"""
What people do to jobs that are there: cancel, retry, analyse again; to one, or to many.

Of many each is changed in a transaction of its own: none is long, and one that cannot
be changed says so alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final
from uuid import UUID

import structlog

from orchestrator.api.deps import Caller, Services
from orchestrator.api.http.errors import NOT_ANSWERED, UNAVAILABLE
from orchestrator.db.access import check_job, check_sample, foreign_job
from orchestrator.db.sql_errors import told
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import AssayError, NotFoundError, UnavailableError
from orchestrator.domain.values import JobState
from orchestrator.flow.cancel import cancel_job
from orchestrator.flow.order import JobOrder
from orchestrator.flow.ports import Engine
from orchestrator.flow.retry import retry_job
from orchestrator.flow.submit import create_job
from orchestrator.queries import jobs
from orchestrator.queries.jobs import JobFilter, JobView, find_retryable, seek_jobs

log = structlog.get_logger(__name__)

#: Jobs that one request may change.
CHANGES_MAX: Final = 500


class Verb(StrEnum):
    """What is done to a job."""

    CANCEL = "cancel"
    RETRY = "retry"
    REANALYSE = "reanalyse"


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """
    What became of one job of many.

    ``view``: the job as it is now, of one that was analysed again the new one; ``None``
    where that was refused, and ``error`` says why.
    """

    job_id: UUID
    view: JobView | None = None
    error: AssayError | None = None


def change(
    tx: Transaction, verb: Verb, job_id: UUID, caller: Caller, *, engine: Engine
) -> JobView:
    """
    Do it to one job, which the caller may see; return the job that this led to.

    Raises:
        NotFoundError: There is no such job.
        IllegalTransitionError: It has nothing to retry.
        PermissionDeniedError: The caller may not act for anybody who has the sample.
        LimitExceededError: The submitter has too many open tasks.
    """
    match verb:
        case Verb.CANCEL:
            # A job without tasks is over, and has nothing that could be cancelled.
            if jobs.get_job(tx, job_id).open_tasks:
                cancel_job(tx, job_id, engine=engine, actor=caller.actor)
        case Verb.RETRY:
            retry_job(tx, job_id, engine=engine, actor=caller.actor)
        case Verb.REANALYSE:
            sha256 = jobs.get_job(tx, job_id).sample_sha256
            check_sample(tx, caller.viewer, sha256)
            return reanalyse(tx, sha256, caller, engine=engine)
    return jobs.get_job(tx, job_id)


def reanalyse(
    tx: Transaction, sha256: str, caller: Caller, *, engine: Engine
) -> JobView:
    """
    Analyse a sample again; a repeat within a minute is the first one's job.

    Raises:
        NotFoundError: There is no such sample.
        PermissionDeniedError: The key is limited to other customers.
        LimitExceededError: The caller has too many open tasks.
    """
    owner = caller.owner
    order = JobOrder(
        sample_sha256=sha256,
        submitter_id=owner.user_id,
        customer_id=owner.customer_id,
        reanalyse=True,
    )
    return jobs.get_job(tx, create_job(tx, order, engine=engine).job_id)


def look_at(
    tx: Transaction, job_ids: Sequence[UUID], caller: Caller
) -> Iterator[Change]:
    """Yield each of these jobs as it is, unchanged; or why it is not the caller's."""
    found = {view.id: view for view in jobs.find_jobs(tx, job_ids)}
    for job_id in job_ids:
        view = found.get(job_id)
        if view is None:
            missing = NotFoundError(f"there is no job {job_id}", field="jobID")
            yield Change(job_id=job_id, error=missing)
        elif not caller.viewer.acts_for(view.customer.id):
            yield Change(job_id=job_id, error=foreign_job(job_id))
        else:
            yield Change(job_id=job_id, view=view)


def change_many(
    verb: Verb, job_ids: Sequence[UUID], caller: Caller, services: Services
) -> Iterator[Change]:
    """Do it to each of these jobs, and yield what became of it."""
    for job_id in job_ids:
        try:
            with services.database.uow() as tx:
                check_job(tx, caller.viewer, job_id)
                view = change(tx, verb, job_id, caller, engine=services.engine)
        except AssayError as error:
            yield Change(job_id=job_id, error=error)
        except UNAVAILABLE as error:
            # Those before it are changed, and that is to be known.
            log.warning("database.unavailable", **told(error))
            yield Change(job_id=job_id, error=UnavailableError(NOT_ANSWERED))
        else:
            yield Change(job_id=job_id, view=view)


def match_jobs(
    tx: Transaction, verb: Verb, wanted: JobFilter, caller: Caller
) -> tuple[UUID, ...]:
    """
    Return the newest jobs that match and to which it can be done, at most
    :data:`CHANGES_MAX`.

    Raises:
        InvalidError: There is no such customer.
    """
    viewer = caller.viewer
    if verb is Verb.REANALYSE:
        found = seek_jobs(tx, wanted, viewer=viewer, limit=CHANGES_MAX)
        return tuple(view.id for view in found.items)
    over = verb is Verb.RETRY
    states = [
        state for state in wanted.states or tuple(JobState) if state.is_final is over
    ]
    if not states:
        return ()
    wanted = replace(wanted, states=states)
    if over:
        return find_retryable(tx, wanted, viewer=viewer, limit=CHANGES_MAX)
    found = seek_jobs(tx, wanted, viewer=viewer, limit=CHANGES_MAX)
    return tuple(view.id for view in found.items)
