"""
Orders that were here before: each is answered with the job that it has, once and for
all by its key, and for a moment where a client asks for another analysis twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from orchestrator.db import jobs
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import IdempotencyConflictError
from orchestrator.flow.order import CreatedJob, JobOrder, Outcome

#: A second reanalysis within this time answers the first one's job: clients send again
#: what got no answer.
REANALYSED_WITHIN = timedelta(seconds=60)


def find_repeats(tx: Transaction, orders: Mapping[int, JobOrder]) -> dict[int, Outcome]:
    """
    Return the outcome of those orders whose job is there already.

    Args:
        orders: Of one submitter, by their place.
    """
    repeats = find_same(tx, orders)
    for place, order in orders.items():
        if order.reanalyse and place not in repeats:
            repeats |= _find_reanalysis(tx, place, order)
    return repeats


def find_same(tx: Transaction, orders: Mapping[int, JobOrder]) -> dict[int, Outcome]:
    """Return the outcome of those orders whose key was used already."""
    keys = {
        place: order.idempotency_key
        for place, order in orders.items()
        if order.idempotency_key is not None
    }
    if not keys:
        return {}
    submitter_id = next(iter(orders.values())).submitter_id
    found = jobs.find_by_idempotency_keys(tx, submitter_id, set(keys.values()))
    return {
        place: _same(orders[place], *found[key])
        for place, key in keys.items()
        if key in found
    }


def _same(order: JobOrder, job_id: UUID, content_hash: str | None) -> Outcome:
    if content_hash == order.content_hash():
        return CreatedJob(job_id=job_id, is_new=False)
    return IdempotencyConflictError(
        f"idempotencyKey {order.idempotency_key!r} was used for another order; use a"
        " new key",
        field="idempotencyKey",
    )


def _find_reanalysis(
    tx: Transaction, place: int, order: JobOrder
) -> dict[int, Outcome]:
    jobs.lock_submissions(tx, order.submitter_id, order.sample_sha256)
    earlier = jobs.find_reanalysis(
        tx, order.submitter_id, order.sample_sha256, newer_than=REANALYSED_WITHIN
    )
    return {place: CreatedJob(job_id=earlier, is_new=False)} if earlier else {}
