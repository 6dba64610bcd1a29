"""
Reading the tasks of jobs, one worker's part each, and the attempt that a replica speaks
for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, select

from orchestrator.db.access import visible_findings
from orchestrator.db.bulk import one_of
from orchestrator.db.tables import analysis, job_task, task_analysis, task_event, worker
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import IllegalTransitionError, NotFoundError
from orchestrator.domain.values import Reason, TaskState
from orchestrator.domain.viewer import Viewer
from orchestrator.queries.jobs import get_job
from orchestrator.queries.lists import Listing, Order, Page, Paging, fetch_page

_TASKS = Listing(
    table=job_task,
    sorts={
        "worker": worker.c.short_name,
        "state": job_task.c.state,
        "enqueuedTimestamp": job_task.c.enqueued_at,
        "startTimestamp": job_task.c.started_at,
        "endTimestamp": job_task.c.ended_at,
    },
    default=Order(name="worker"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class AnalysisLink:
    """An analysis, as a task or a verdict names it."""

    id: UUID
    score: int
    agent_name: str
    agent_version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EventView:
    """Something out of the ordinary that happened to a task."""

    kind: str
    attempt: int
    reason: str | None
    actor: str | None
    message: str | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskView:
    """A task; ``events`` only where one task was asked for."""

    id: UUID
    job_id: UUID
    worker: str
    state: TaskState
    reason: Reason | None
    message: str | None
    attempt: int
    options: Mapping[str, Any]
    losses: int
    holder: str | None
    late: bool
    enqueued_at: datetime
    queued_at: datetime
    not_before: datetime | None
    published_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    analyses: tuple[AnalysisLink, ...]
    events: tuple[EventView, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptView:
    """
    The present attempt of a task, whose it is, and on which sample.

    ``generation``: of its worker's enrolment.
    """

    task_id: UUID
    attempt: int
    worker: str
    generation: int
    state: TaskState
    sample_sha256: str

    def require_open(self, attempt: int) -> None:
        """
        Check that *attempt* is the present one and not over.

        Raises:
            IllegalTransitionError: It is not.
        """
        if attempt != self.attempt:
            raise IllegalTransitionError(
                f"attempt {attempt} is over, {self.attempt} is the present one",
                field="attempt",
            )
        if self.state.is_final:
            raise IllegalTransitionError(
                f"the task has ended: {self.state}", field="attempt"
            )


def list_tasks(
    tx: Transaction, job_id: UUID, paging: Paging, *, viewer: Viewer
) -> Page[TaskView]:
    """
    Return one page of a job's tasks.

    Raises:
        NotFoundError: There is no such job.
        InvalidError: The order names an unknown field.
    """
    get_job(tx, job_id)
    of_job = job_task.c.job_id == job_id
    rows, total = fetch_page(tx, _TASKS, _tasks(), of_job, paging=paging)
    analyses = _analyses_of(tx, [row.id for row in rows], viewer)
    items = tuple(_task(row, analyses.get(row.id, ())) for row in rows)
    return Page(items=items, total=total)


def find_tasks(
    tx: Transaction, job_ids: Collection[UUID], *, viewer: Viewer
) -> list[TaskView]:
    """Return the tasks of these jobs, as the viewer sees them."""
    of_jobs = one_of(job_task.c.job_id, job_ids)
    rows = tx.connection.execute(_tasks().where(of_jobs)).all()
    analyses = _analyses_of(tx, [row.id for row in rows], viewer)
    return [_task(row, analyses.get(row.id, ())) for row in rows]


def get_task(
    tx: Transaction, job_id: UUID, task_id: UUID, *, viewer: Viewer
) -> TaskView:
    """
    Return one task with its events.

    Raises:
        NotFoundError: The job has no such task.
    """
    row = tx.connection.execute(
        _tasks().where(job_task.c.id == task_id, job_task.c.job_id == job_id)
    ).first()
    if row is None:
        raise NotFoundError(f"job {job_id} has no task {task_id}", field="taskID")
    analyses = _analyses_of(tx, [task_id], viewer).get(task_id, ())
    events = find_events(tx, [task_id]).get(task_id, ())
    return _task(row, analyses, events=events)


def find_events(
    tx: Transaction, task_ids: Collection[UUID]
) -> dict[UUID, tuple[EventView, ...]]:
    """Return what was out of the ordinary, of each of these tasks, oldest first."""
    rows = tx.connection.execute(
        select(task_event)
        .where(one_of(task_event.c.task_id, task_ids))
        .order_by(task_event.c.task_id, task_event.c.id)
    )
    found: dict[UUID, list[EventView]] = {}
    for row in rows:
        event = EventView(
            kind=row.kind,
            attempt=row.attempt,
            reason=row.reason,
            actor=row.actor,
            message=row.message,
            created_at=row.created_at,
        )
        found.setdefault(row.task_id, []).append(event)
    return {task_id: tuple(events) for task_id, events in found.items()}


def get_job_id(tx: Transaction, task_id: UUID) -> UUID:
    """
    Return the job of a task.

    Raises:
        NotFoundError: There is no such task.
    """
    job_id: UUID | None = tx.connection.execute(
        select(job_task.c.job_id).where(job_task.c.id == task_id)
    ).scalar_one_or_none()
    if job_id is None:
        raise NotFoundError(f"there is no task {task_id}", field="taskID")
    return job_id


def get_attempt(tx: Transaction, task_id: UUID) -> AttemptView:
    """
    Return the present attempt of a task.

    Raises:
        NotFoundError: There is no such task.
    """
    row = tx.connection.execute(
        select(
            job_task.c.attempt,
            job_task.c.state,
            job_task.c.sample_sha256,
            worker.c.short_name,
            worker.c.generation,
        )
        .join_from(job_task, worker)
        .where(job_task.c.id == task_id)
    ).first()
    if row is None:
        raise NotFoundError(f"there is no task {task_id}", field="task_id")
    return AttemptView(
        task_id=task_id,
        attempt=row.attempt,
        worker=row.short_name,
        generation=row.generation,
        state=TaskState(row.state),
        sample_sha256=row.sample_sha256,
    )


def _tasks() -> Select[Any]:
    return select(job_task, worker.c.short_name).join_from(job_task, worker)


def _analyses_of(
    tx: Transaction, task_ids: Sequence[UUID], viewer: Viewer
) -> dict[UUID, tuple[AnalysisLink, ...]]:
    rows = tx.connection.execute(
        select(
            task_analysis.c.task_id,
            analysis.c.id,
            analysis.c.score,
            analysis.c.agent_name,
            analysis.c.agent_version,
        )
        .join_from(task_analysis, analysis)
        .where(
            one_of(task_analysis.c.task_id, task_ids),
            visible_findings(analysis, viewer),
        )
        .order_by(analysis.c.created_at, analysis.c.id)
    )
    found: dict[UUID, tuple[AnalysisLink, ...]] = {}
    for row in rows:
        found[row.task_id] = (*found.get(row.task_id, ()), _link(row))
    return found


def _link(row: Row[*tuple[Any, ...]]) -> AnalysisLink:
    return AnalysisLink(
        id=row.id,
        score=row.score,
        agent_name=row.agent_name,
        agent_version=row.agent_version,
    )


def _task(
    row: Row[Any],
    analyses: tuple[AnalysisLink, ...],
    *,
    events: tuple[EventView, ...] | None = None,
) -> TaskView:
    return TaskView(
        id=row.id,
        job_id=row.job_id,
        worker=row.short_name,
        state=TaskState(row.state),
        reason=Reason(row.reason) if row.reason else None,
        message=row.message,
        attempt=row.attempt,
        options=row.options,
        losses=row.losses,
        holder=row.holder,
        late=row.late,
        enqueued_at=row.enqueued_at,
        queued_at=row.queued_at,
        not_before=row.not_before,
        published_at=row.published_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        analyses=analyses,
        events=events,
    )
