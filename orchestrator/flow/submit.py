"""
Creates jobs: the row of the job and of every task in one commit.

Which workers look at a sample is ``domain/selection.py``; what is published and when is
``flow/dispatch.py``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from orchestrator.db import jobs, samples
from orchestrator.db.poison import WorkerVersion
from orchestrator.db.quotas import check_open_tasks
from orchestrator.db.unit_of_work import NEW_JOB, Transaction
from orchestrator.domain.clocks import due_at, job_due_at
from orchestrator.domain.errors import (
    IdempotencyConflictError,
    InvalidError,
    LimitExceededError,
    NotFoundError,
    UnknownWorkerError,
)
from orchestrator.domain.policy import Policy, Subject
from orchestrator.domain.selection import Candidate, Selection, select, unknown_names
from orchestrator.domain.values import JobState, TaskState
from orchestrator.flow.ports import Engine
from orchestrator.flow.roster import Roster, read_roster
from orchestrator.flow.settle import settle_jobs

#: A second reanalysis within this time answers the first one's job: clients send again
#: what got no answer.
REANALYSED_WITHIN = timedelta(seconds=60)

PRIORITY_MIN = -9
PRIORITY_MAX = 9


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOrder:
    """
    What a submitter asks for.

    ``workers`` replaces the policy; ``None`` leaves the choice to it. ``reanalyse``:
    answer the caller's open job, or reanalysis, of this sample of the last 60 s.
    """

    sample_sha256: str
    submitter_id: UUID
    customer_id: UUID
    priority: int = 0
    workers: tuple[str, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    file_name: str | None = None
    idempotency_key: str | None = None
    reanalyse: bool = False

    def content_hash(self) -> str:
        """Return what makes two orders of one idempotency key the same."""
        content = [
            self.sample_sha256,
            self.priority,
            sorted(self.workers) if self.workers is not None else None,
            dict(self.options),
            self.file_name,
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenJob:
    """How a job stands that was just made, and whose tasks are all open."""

    size_bytes: int
    tasks: int
    enqueued_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class CreatedJob:
    """
    ``is_new``: whether this call made it. ``open_job``: ``None`` if it was here before,
    or has no task and so is over.
    """

    job_id: UUID
    is_new: bool
    open_job: OpenJob | None = None


def create_job(tx: Transaction, order: JobOrder, *, engine: Engine) -> CreatedJob:
    """
    Create a job with one task per worker that should look at the sample.

    Raises:
        NotFoundError: The sample is unknown.
        UnknownWorkerError: A worker named in ``workers`` is not registered.
        IdempotencyConflictError: The key was used for another order.
        InvalidError: The priority is out of range, or ``workers`` is empty.
        LimitExceededError: The submitter has too many open tasks.
    """
    _check(order)
    repeat = _find_repeat(tx, order)
    if repeat is not None:
        return repeat
    subject, poisoned = _get_subject(tx, order)
    roster = read_roster(tx, engine)
    candidates = roster.candidates_for(poisoned)
    _check_workers(candidates, order)
    selection = select(candidates, subject, policy=roster.policy, chosen=order.workers)
    try:
        check_open_tasks(
            tx,
            order.submitter_id,
            more=len(selection.selected),
            at_most=engine.limits.open_tasks_per_user,
        )
    except LimitExceededError:
        # The same order may have come in while this one waited for its turn.
        repeat = _find_repeat(tx, order)
        if repeat is None:
            raise
        return repeat
    in_policy = _in_policy(candidates, subject, order, roster.policy, selection)
    job_id = uuid7()
    new = _new_job(tx, order, selection, in_policy, engine=engine, job_id=job_id)
    if not jobs.add_job(tx, new, _new_tasks(tx, order, selection, roster, engine)):
        return _same_order(tx, order)
    if not selection.selected:
        settle_jobs(tx, [job_id], bands=engine.limits.bands)
        return CreatedJob(job_id=job_id, is_new=True)
    tx.notify("work", NEW_JOB)
    opened = OpenJob(
        size_bytes=subject.size_bytes,
        tasks=len(selection.selected),
        enqueued_at=tx.now,
    )
    return CreatedJob(job_id=job_id, is_new=True, open_job=opened)


def _check(order: JobOrder) -> None:
    if not PRIORITY_MIN <= order.priority <= PRIORITY_MAX:
        raise InvalidError(
            f"priority: {order.priority} is not from {PRIORITY_MIN} to {PRIORITY_MAX}",
            field="priority",
        )
    if order.workers is not None and not order.workers:
        raise InvalidError(
            "workers: name at least one, or leave it out for the policy's choice",
            field="workers",
        )


def _find_repeat(tx: Transaction, order: JobOrder) -> CreatedJob | None:
    if order.idempotency_key is not None:
        found = jobs.find_by_idempotency_key(
            tx, order.submitter_id, order.idempotency_key
        )
        return _same_order(tx, order) if found else None
    if not order.reanalyse:
        return None
    jobs.lock_submissions(tx, order.submitter_id, order.sample_sha256)
    earlier = jobs.find_reanalysis(
        tx, order.submitter_id, order.sample_sha256, newer_than=REANALYSED_WITHIN
    )
    return CreatedJob(job_id=earlier, is_new=False) if earlier else None


def _same_order(tx: Transaction, order: JobOrder) -> CreatedJob:
    key = order.idempotency_key or ""
    found = jobs.find_by_idempotency_key(tx, order.submitter_id, key)
    if found is None or found[1] != order.content_hash():
        raise IdempotencyConflictError(
            f"idempotencyKey {key!r} was used for another order; use a new key",
            field="idempotencyKey",
        )
    return CreatedJob(job_id=found[0], is_new=False)


def _get_subject(
    tx: Transaction, order: JobOrder
) -> tuple[Subject, set[WorkerVersion]]:
    found = samples.find_subject(tx, order.sample_sha256, customer_id=order.customer_id)
    if found is None:
        raise NotFoundError(
            f"there is no sample {order.sample_sha256}; upload it first",
            field="sampleSha256",
        )
    return found


def _check_workers(candidates: Sequence[Candidate], order: JobOrder) -> None:
    # One that was deleted is no more there for whoever names it.
    here = [candidate for candidate in candidates if candidate.enabled]
    unknown = unknown_names(here, order.workers or ())
    if unknown:
        raise UnknownWorkerError(
            f"workers: not registered: {', '.join(unknown)}", field="workers"
        )


def _in_policy(
    candidates: Sequence[Candidate],
    subject: Subject,
    order: JobOrder,
    policy: Policy,
    selection: Selection,
) -> set[UUID]:
    # The others of the policy count in the verdict with what they said before.
    if order.workers is None:
        return {choice.worker_id for choice in selection.selected}
    by_policy = select(candidates, subject, policy=policy)
    return {choice.worker_id for choice in by_policy.selected}


def _new_job(
    tx: Transaction,
    order: JobOrder,
    selection: Selection,
    in_policy: set[UUID],
    *,
    engine: Engine,
    job_id: UUID,
) -> jobs.NewJob:
    return jobs.NewJob(
        id=job_id,
        sample_sha256=order.sample_sha256,
        customer_id=order.customer_id,
        submitter_id=order.submitter_id,
        priority=order.priority,
        file_name=order.file_name,
        options=order.options,
        selection=[
            {
                "worker": choice.short_name,
                "workerId": str(choice.worker_id),
                "selected": choice.selected,
                "reason": choice.reason.value,
                "detail": choice.detail,
                "inPolicy": choice.worker_id in in_policy,
            }
            for choice in selection.choices
        ],
        is_chosen=order.workers is not None,
        is_reanalysis=order.reanalyse,
        idempotency_key=order.idempotency_key,
        content_hash=order.content_hash() if order.idempotency_key else None,
        enqueued_at=tx.now,
        due_at=job_due_at(JobState.ENQUEUED, tx.now, engine.limits),
    )


def _new_tasks(
    tx: Transaction,
    order: JobOrder,
    selection: Selection,
    roster: Roster,
    engine: Engine,
) -> list[jobs.NewTask]:
    ahead = timedelta(seconds=order.priority * engine.limits.ageing_seconds)
    options = {**selection.options, **order.options}
    return [
        jobs.NewTask(
            id=uuid7(),
            worker_id=choice.worker_id,
            order_at=tx.now - ahead,
            due_at=due_at(TaskState.ENQUEUED, tx.now, roster.limits[choice.worker_id]),
            options=options,
        )
        for choice in selection.selected
    ]
