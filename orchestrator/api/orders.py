"""
Orders as they come over HTTP: read for a caller, placed, and their jobs as they stand.
"""

from __future__ import annotations

from orchestrator.api.deps import Caller
from orchestrator.api.schemas.job import JobAddRequest
from orchestrator.db.access import check_customer
from orchestrator.db.unit_of_work import Transaction
from orchestrator.db.users import get_customer, get_customer_ids
from orchestrator.domain.values import JobState
from orchestrator.flow.order import CreatedJob, JobOrder
from orchestrator.queries import jobs
from orchestrator.queries.jobs import JobView


def read_order(tx: Transaction, ordered: JobAddRequest, caller: Caller) -> JobOrder:
    """
    Return what is ordered, for the caller's customer or the one that is named.

    Raises:
        InvalidError: There is no such customer.
        PermissionDeniedError: The caller may not act for it.
    """
    customer_id = caller.customer_id
    if ordered.submission is not None and ordered.submission.customer is not None:
        (customer_id,) = get_customer_ids(tx, [ordered.submission.customer])
    check_customer(caller.viewer, customer_id)
    return ordered.order(submitter_id=caller.user_id, customer_id=customer_id)


def view_job(tx: Transaction, order: JobOrder, job: CreatedJob) -> JobView:
    """Return the job of an order: one that was just made is not read back."""
    if job.open_job is None:
        return jobs.get_job(tx, job.job_id)
    return JobView(
        id=job.job_id,
        state=JobState.ENQUEUED,
        sample_sha256=order.sample_sha256,
        size_bytes=job.open_job.size_bytes,
        customer=get_customer(tx, order.customer_id),
        priority=order.priority,
        file_name=order.file_name,
        open_tasks=job.open_job.tasks,
        enqueued_at=job.open_job.enqueued_at,
        started_at=None,
        ended_at=None,
    )
