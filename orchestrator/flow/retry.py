"""
Retrying what failed or timed out: the next attempt, with a fresh budget and deadline.
"""

from __future__ import annotations

from uuid import UUID

from orchestrator.db import audit, jobs, tasks
from orchestrator.db.audit import Action
from orchestrator.db.quotas import check_open_tasks
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.clocks import job_due_at
from orchestrator.domain.errors import IllegalTransitionError, NotFoundError
from orchestrator.domain.states import Event, EventKind, Move, apply
from orchestrator.domain.values import Actor, JobState
from orchestrator.flow.ports import Engine
from orchestrator.flow.roster import read_roster
from orchestrator.flow.settle import settle


def retry_job(tx: Transaction, job_id: UUID, *, engine: Engine, actor: Actor) -> int:
    """
    Retry every failed and timed-out task of a job; what succeeded is left alone, and
    so are the tasks of workers that are no more: they stay what they ended as.

    Returns:
        How many tasks were retried.

    Raises:
        NotFoundError: There is no such job.
        IllegalTransitionError: It has no failed or timed-out task of a worker that is
            still here.
        LimitExceededError: Its submitter has too many open tasks.
    """
    roster = read_roster(tx, engine)
    found = tasks.find_tasks_of_job_for_update(tx, job_id)
    if not found and not jobs.exists(tx, job_id):
        raise NotFoundError(f"there is no job {job_id}", field="jobID")
    event = Event(kind=EventKind.RETRIED, actor=actor.name)
    changes = [
        apply(task, event, limits=roster.limits[task.worker_id], now=tx.now)
        for task in found
        if not roster.by_id[task.worker_id].is_deleted
    ]
    retried = [change for change in changes if change.move is Move.RETRY]
    if not retried:
        raise IllegalTransitionError(
            "the job has no failed or timed-out task to retry whose worker is still"
            " registered",
            field="jobID",
        )
    check_open_tasks(
        tx,
        jobs.get_submitter(tx, job_id),
        more=len(retried),
        at_most=engine.limits.open_tasks_per_user,
    )
    due_at = job_due_at(JobState.ENQUEUED, tx.now, engine.limits)
    jobs.extend(tx, job_id, due_at=due_at)
    settle(tx, retried, bands=engine.limits.bands)
    audit.record(tx, actor, Action.JOB_RETRY, job_id, {"tasks": len(retried)})
    return len(retried)
