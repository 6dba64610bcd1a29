"""
Creates jobs: the row of the job and of every task in one commit.

Which workers look at a sample is ``domain/selection.py``; what is published and when is
``flow/dispatch.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

from orchestrator.db import jobs, samples
from orchestrator.db.poison import WorkerVersion
from orchestrator.db.quotas import find_room, too_many_open_tasks
from orchestrator.db.unit_of_work import NEW_JOB, Transaction
from orchestrator.domain.clocks import due_at, job_due_at
from orchestrator.domain.errors import AssayError, NotFoundError, UnknownWorkerError
from orchestrator.domain.options import options_of
from orchestrator.domain.policy import Policy, Subject
from orchestrator.domain.selection import Candidate, Selection, select, unknown_names
from orchestrator.domain.values import JobState, TaskState
from orchestrator.flow.order import (
    CreatedJob,
    JobOrder,
    OpenJob,
    Outcome,
    find_mistake,
)
from orchestrator.flow.ports import Engine
from orchestrator.flow.repeats import find_repeats, find_same
from orchestrator.flow.roster import Roster, read_roster
from orchestrator.flow.settle import settle_jobs


@dataclass(frozen=True, kw_only=True, slots=True)
class _Draft:
    """A job that is to be added, with its tasks."""

    order: JobOrder
    size_bytes: int
    job: jobs.NewJob
    tasks: Sequence[jobs.NewTask]


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
    (outcome,) = create_jobs(tx, [order], engine=engine)
    if isinstance(outcome, AssayError):
        raise outcome
    return outcome


def create_jobs(
    tx: Transaction, orders: Sequence[JobOrder], *, engine: Engine
) -> list[Outcome]:
    """
    Create the jobs of one submitter's orders; one that is refused stops no other.

    Args:
        orders: As many as one transaction has time for.

    Returns:
        What became of each, in their order.
    """
    outcomes: dict[int, Outcome] = {}
    sound: dict[int, JobOrder] = {}
    for place, order in enumerate(orders):
        mistake = find_mistake(order)
        if mistake is None:
            sound[place] = order
        else:
            outcomes[place] = mistake
    outcomes |= find_repeats(tx, sound)
    new = {place: sound[place] for place in sound if place not in outcomes}
    drafts, refused = _draft_all(tx, new, engine)
    outcomes |= refused
    outcomes |= _give_up_what_is_too_much(tx, drafts, engine)
    outcomes |= _add(tx, drafts, engine)
    return [outcomes[place] for place in range(len(orders))]


def _draft_all(
    tx: Transaction, orders: Mapping[int, JobOrder], engine: Engine
) -> tuple[dict[int, _Draft], dict[int, Outcome]]:
    """Return the drafts of those orders that can be met, and why others can not."""
    if not orders:
        return {}, {}
    subjects = samples.find_subjects(tx, map(_wanted, orders.values()))
    roster = read_roster(tx, engine)
    drafts: dict[int, _Draft] = {}
    refused: dict[int, Outcome] = {}
    for place, order in orders.items():
        try:
            found = subjects.get(_wanted(order))
            drafts[place] = _draft(tx, order, found, roster, engine)
        except AssayError as error:
            refused[place] = error
    return drafts, refused


def _wanted(order: JobOrder) -> samples.Wanted:
    return order.sample_sha256, order.customer_id


def _draft(
    tx: Transaction,
    order: JobOrder,
    found: tuple[Subject, set[WorkerVersion]] | None,
    roster: Roster,
    engine: Engine,
) -> _Draft:
    if found is None:
        raise NotFoundError(
            f"there is no sample {order.sample_sha256}; upload it first",
            field="sampleSha256",
        )
    subject, poisoned = found
    if order.said is not None:
        said = order.said
        subject = replace(subject, tlp=said.tlp, metadata=said.metadata)
    candidates = roster.candidates_for(poisoned)
    _check_workers(candidates, order)
    selection = select(candidates, subject, policy=roster.policy, chosen=order.workers)
    in_policy = _in_policy(candidates, subject, order, roster.policy, selection)
    return _Draft(
        order=order,
        size_bytes=subject.size_bytes,
        job=_new_job(tx, order, selection, in_policy, engine=engine),
        tasks=_new_tasks(tx, order, selection, roster, engine),
    )


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


def _give_up_what_is_too_much(
    tx: Transaction, drafts: dict[int, _Draft], engine: Engine
) -> dict[int, Outcome]:
    """Take out those drafts for whose tasks there is no room, and say so of each."""
    at_most = engine.limits.open_tasks_per_user
    if not any(draft.tasks for draft in drafts.values()):
        return {}
    submitter_id = next(iter(drafts.values())).order.submitter_id
    room = find_room(tx, submitter_id, at_most=at_most)
    if room is None:
        return {}
    refused: dict[int, Outcome] = {}
    given_up: dict[int, JobOrder] = {}
    for place, draft in list(drafts.items()):
        more = len(draft.tasks)
        if more <= room:
            room -= more
            continue
        refused[place] = too_many_open_tasks(more, at_most=at_most)
        given_up[place] = drafts.pop(place).order
    # The same orders may have come in while these waited for their turn.
    return refused | find_same(tx, given_up)


def _add(
    tx: Transaction, drafts: Mapping[int, _Draft], engine: Engine
) -> dict[int, Outcome]:
    if not drafts:
        return {}
    # By their keys: two who send the same at once wait for each other, not in a circle.
    ordered = sorted(drafts.values(), key=lambda draft: draft.job.idempotency_key or "")
    new = [(draft.job, draft.tasks) for draft in ordered]
    added = jobs.add_jobs(tx, new)
    tx.changed.jobs.update(added)
    over = [job.id for job, tasks in new if job.id in added and not tasks]
    if over:
        settle_jobs(tx, over, bands=engine.limits.bands)
    if len(over) < len(added):
        tx.notify("work", NEW_JOB)
    overtaken: dict[int, JobOrder] = {}
    outcomes: dict[int, Outcome] = {}
    for place, draft in drafts.items():
        if draft.job.id in added:
            outcomes[place] = CreatedJob(
                job_id=draft.job.id, is_new=True, open_job=_open_job(tx, draft)
            )
        else:
            overtaken[place] = draft.order
    return outcomes | find_same(tx, overtaken)


def _open_job(tx: Transaction, draft: _Draft) -> OpenJob | None:
    if not draft.tasks:
        return None
    return OpenJob(
        size_bytes=draft.size_bytes, tasks=len(draft.tasks), enqueued_at=tx.now
    )


def _new_job(
    tx: Transaction,
    order: JobOrder,
    selection: Selection,
    in_policy: set[UUID],
    *,
    engine: Engine,
) -> jobs.NewJob:
    return jobs.NewJob(
        id=uuid7(),
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
            options=options_of(choice.short_name, options, workers=roster.by_name),
        )
        for choice in selection.selected
    ]
