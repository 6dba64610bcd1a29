"""
A task's update over HTTP: the reports of workers that speak no broker's language.

The same rules and the same settling as a report, as a batch of one. The holder is
``http:<key>``; it has no lease, only the run time.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from orchestrator.db import analyses, tasks
from orchestrator.db.analyses import Link
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import (
    HeldByOtherError,
    IllegalTransitionError,
    InvalidError,
    NotFoundError,
)
from orchestrator.domain.states import Change, Event, EventKind, Move, apply
from orchestrator.domain.values import Actor, Reason, Task, TaskState
from orchestrator.domain.viewer import Viewer
from orchestrator.flow.cancel import cancel_task
from orchestrator.flow.ports import Engine
from orchestrator.flow.roster import read_roster
from orchestrator.flow.settle import settle


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskUpdate:
    """
    What the caller says of a task.

    ``state``: executing, success, failed or cancelled. ``holder``: ``http:<key>``.
    ``analyses``: of this task's sample, by no other worker, which ``viewer`` may see.
    """

    job_id: UUID
    task_id: UUID
    state: TaskState
    analyses: tuple[UUID, ...] = ()
    message: str | None = None
    holder: str
    actor: Actor
    viewer: Viewer


_EVENTS = {
    TaskState.EXECUTING: EventKind.EXECUTING,
    TaskState.SUCCESS: EventKind.SUCCESS,
    TaskState.FAILED: EventKind.FAILED,
}

#: With what a worker ends, and brings what it found.
_ENDS = frozenset({TaskState.SUCCESS, TaskState.FAILED})


def update_task(tx: Transaction, given: TaskUpdate, *, engine: Engine) -> None:
    """
    Apply an update; a repeat of the row's present state changes nothing.

    Raises:
        NotFoundError: There is no such task in this job.
        InvalidError: An analysis is unknown, hidden, of another sample or worker, or
            comes before the task ends.
        HeldByOtherError: Somebody else has the task in hand.
        IllegalTransitionError: The task has ended otherwise.
    """
    task = _locked(tx, given)
    if given.analyses and given.state not in _ENDS:
        raise InvalidError(
            "come with success or failed; send them when the task ends",
            field="analyses",
        )
    if given.state is TaskState.CANCELLED:
        cancel_task(
            tx, given.task_id, engine=engine, actor=given.actor, message=given.message
        )
        return
    _check_analyses(tx, task, given)
    if given.state is TaskState.EXECUTING and task.state is TaskState.EXECUTING:
        # Two that both were told they have it would both do the work.
        _check_holder(task, given)
        if given.message:
            tasks.set_message(tx, task.id, given.message)
        return
    if _is_repeat(tx, task, given):
        return
    _check_holder(task, given)
    roster = read_roster(tx, engine)
    limits = roster.limits[task.worker_id]
    change = apply(task, _event_of(task, given), limits=limits, now=tx.now)
    _link_analyses(tx, change, given)
    _check_move(change)
    settle(tx, [change], bands=engine.limits.bands)


def _locked(tx: Transaction, given: TaskUpdate) -> Task:
    found = tasks.find_tasks_for_update(tx, [given.task_id]).tasks.get(given.task_id)
    if found is None or found.job_id != given.job_id:
        raise NotFoundError(
            f"there is no task {given.task_id} in job {given.job_id}", field="taskID"
        )
    return found


def _check_analyses(tx: Transaction, task: Task, given: TaskUpdate) -> None:
    if not given.analyses:
        return
    usable = analyses.find_usable(
        tx,
        given.analyses,
        sample_sha256=task.sample_sha256,
        worker_id=task.worker_id,
        viewer=given.viewer,
    )
    unknown = set(given.analyses) - usable
    if unknown:
        listed = ", ".join(sorted(str(analysis_id) for analysis_id in unknown))
        raise InvalidError(
            f"no analyses of this task's sample by its worker: {listed}; add them"
            " first",
            field="analyses",
        )


def _is_repeat(tx: Transaction, task: Task, given: TaskUpdate) -> bool:
    if task.state is not given.state or (given.message or None) != task.message:
        return False
    return analyses.linked_analyses(tx, task.id) == set(given.analyses)


def _check_holder(task: Task, given: TaskUpdate) -> None:
    if task.holder is not None and task.holder != given.holder:
        raise HeldByOtherError(
            f"the task is held by {task.holder}; only its holder may update it",
            field="state",
        )


def _event_of(task: Task, given: TaskUpdate) -> Event:
    failed = given.state is TaskState.FAILED
    return Event(
        kind=_EVENTS[given.state],
        attempt=task.attempt,
        reporter=given.holder,
        reason=Reason.ERROR if failed else None,
        message=given.message,
        actor=given.actor.name,
    )


def _link_analyses(tx: Transaction, change: Change, given: TaskUpdate) -> None:
    if change.move not in {Move.SUCCEED, Move.LATE, Move.FAIL}:
        return
    analyses.add_links(
        tx,
        [
            Link(
                task_id=change.after.id,
                analysis_id=analysis_id,
                attempt=change.after.attempt,
                late=change.move is Move.LATE,
            )
            for analysis_id in given.analyses
        ],
    )


def _check_move(change: Change) -> None:
    if change.move in {Move.STALE, Move.DROPPED, Move.REFUSED}:
        raise IllegalTransitionError(
            f"the task is {change.before.state}; it can not become"
            f" {change.event.kind} from there",
            field="state",
        )
