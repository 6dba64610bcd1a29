"""
Cancelling: a job's open tasks, one task, or all of a worker's that was disabled.

A row update, and a ``stop`` where somebody holds the attempt. No broker is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from orchestrator.db import audit, jobs, tasks
from orchestrator.db.audit import Action
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.clocks import TaskLimits
from orchestrator.domain.errors import IllegalTransitionError, NotFoundError
from orchestrator.domain.states import Change, Event, EventKind, Move, apply
from orchestrator.domain.values import Actor, Reason, Task
from orchestrator.flow.ports import Engine
from orchestrator.flow.settle import settle

#: Cancelling uses no clock; any limits do.
_NO_LIMITS = TaskLimits()


def cancel_job(tx: Transaction, job_id: UUID, *, engine: Engine, actor: Actor) -> int:
    """
    Cancel every open task of a job, which is done by that.

    Returns:
        How many tasks were cancelled; 0 if the job was over already.

    Raises:
        NotFoundError: There is no such job.
    """
    found = tasks.find_tasks_of_job_for_update(tx, job_id)
    if not found and not jobs.exists(tx, job_id):
        raise NotFoundError(f"there is no job {job_id}", field="jobID")
    open_tasks = [task for task in found if not task.state.is_final]
    cancelled = len(_cancel(tx, open_tasks, engine=engine, reason=_commanded(actor)))
    if cancelled:
        audit.record(tx, actor, Action.JOB_CANCEL, job_id, {"tasks": cancelled})
    return cancelled


def cancel_task(
    tx: Transaction,
    task_id: UUID,
    *,
    engine: Engine,
    actor: Actor,
    message: str | None = None,
) -> None:
    """
    Cancel one task. Cancelling it again changes nothing.

    Args:
        message: Why, for people.

    Raises:
        NotFoundError: There is no such task.
        IllegalTransitionError: It has ended otherwise.
    """
    found = tasks.find_tasks_for_update(tx, [task_id]).tasks
    if task_id not in found:
        raise NotFoundError(f"there is no task {task_id}", field="taskID")
    reason = _commanded(actor, message)
    changes = _cancel(tx, [found[task_id]], engine=engine, reason=reason)
    if changes[0].move is Move.REFUSED:
        state = changes[0].before.state
        raise IllegalTransitionError(
            f"the task has ended: {state}; only open tasks can be cancelled",
            field="state",
        )
    if changes[0].move is Move.CANCEL:
        job_id = str(changes[0].before.job_id)
        audit.record(tx, actor, Action.TASK_CANCEL, task_id, {"job": job_id})


def cancel_disabled(
    tx: Transaction, task_ids: Sequence[UUID], *, engine: Engine, actor: str
) -> int:
    """Cancel the open tasks among these, whose worker was disabled."""
    found = tasks.find_free_tasks_for_update(tx, task_ids)
    open_tasks = [task for task in found.values() if not task.state.is_final]
    event = Event(kind=EventKind.CANCELLED, reason=Reason.WORKER_DISABLED, actor=actor)
    return len(_cancel(tx, open_tasks, engine=engine, reason=event))


def _commanded(actor: Actor, message: str | None = None) -> Event:
    return Event(
        kind=EventKind.CANCELLED,
        reason=Reason.CANCELLED,
        message=message,
        actor=actor.name,
    )


def _cancel(
    tx: Transaction, found: Sequence[Task], *, engine: Engine, reason: Event
) -> list[Change]:
    changes = [apply(task, reason, limits=_NO_LIMITS, now=tx.now) for task in found]
    settle(
        tx,
        [change for change in changes if change.move is Move.CANCEL],
        bands=engine.limits.bands,
    )
    return changes
