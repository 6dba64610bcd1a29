"""
Reading jobs and their tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Row,
    ScalarSelect,
    Select,
    and_,
    func,
    or_,
    select,
)

from orchestrator.db.tables import (
    analysis,
    customer,
    job,
    job_task,
    sample,
    task_analysis,
    task_event,
    worker,
)
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import NotFoundError
from orchestrator.domain.values import JobState, Reason, TaskState
from orchestrator.flow.read import (
    CustomerView,
    Order,
    Page,
    Paging,
    Sorting,
    customer_columns,
    customer_view,
    fetch_page,
    find_customer_ids,
)

TimeField = Literal["enqueuedTimestamp", "startTimestamp", "endTimestamp"]

_JOB_TIMES: Mapping[str, ColumnElement[Any]] = {
    "enqueuedTimestamp": job.c.enqueued_at,
    "startTimestamp": job.c.started_at,
    "endTimestamp": job.c.ended_at,
}
_JOB_SORTING = Sorting(
    columns={**_JOB_TIMES, "state": job.c.state},
    default=Order(name="enqueuedTimestamp", descending=True),
    tie=job.c.id,
)
_TASK_SORTING = Sorting(
    columns={
        "worker": worker.c.short_name,
        "state": job_task.c.state,
        "enqueuedTimestamp": job_task.c.enqueued_at,
        "startTimestamp": job_task.c.started_at,
        "endTimestamp": job_task.c.ended_at,
    },
    default=Order(name="worker"),
    tie=job_task.c.id,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobView:
    """A job, with how many of its tasks are not over."""

    id: UUID
    state: JobState
    sample_sha256: str
    size_bytes: int
    customer: CustomerView
    priority: int
    file_name: str | None
    open_tasks: int
    enqueued_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


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
    losses: int
    holder: str | None
    late: bool
    enqueued_at: datetime
    queued_at: datetime
    published_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    analyses: tuple[AnalysisLink, ...]
    events: tuple[EventView, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChoiceView:
    """What became of one worker when a job was created, and why."""

    worker: str
    selected: bool
    reason: str
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeWindow:
    """``start`` and ``end`` (inclusive) for any, or all, of some times of a job."""

    start: datetime | None = None
    end: datetime | None = None
    fields: tuple[TimeField, ...] = (
        "enqueuedTimestamp",
        "startTimestamp",
        "endTimestamp",
    )
    match_all: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFilter:
    """Which jobs; an empty part does not filter."""

    states: Sequence[JobState] = ()
    sample_sha256s: Sequence[str] = ()
    customers: Sequence[str] = ()
    window: TimeWindow = field(default_factory=TimeWindow)


def list_jobs(tx: Transaction, wanted: JobFilter, paging: Paging) -> Page[JobView]:
    """
    Return one page of jobs.

    Raises:
        InvalidError: The order names an unknown field, or there is no such customer.
    """
    statement = _jobs().where(*_conditions(tx, wanted))
    rows, total = fetch_page(tx, statement, paging=paging, sorting=_JOB_SORTING)
    return Page(items=tuple(_job(row) for row in rows), total=total)


def get_job(tx: Transaction, job_id: UUID) -> JobView:
    """
    Return one job.

    Raises:
        NotFoundError: There is none.
    """
    row = tx.connection.execute(_jobs().where(job.c.id == job_id)).first()
    if row is None:
        raise NotFoundError(f"there is no job {job_id}", field="jobID")
    return _job(row)


def get_selection(tx: Transaction, job_id: UUID) -> tuple[ChoiceView, ...]:
    """
    Return what selection said of every worker when the job was created.

    Raises:
        NotFoundError: There is no such job.
    """
    found = tx.connection.execute(
        select(job.c.selection).where(job.c.id == job_id)
    ).first()
    if found is None:
        raise NotFoundError(f"there is no job {job_id}", field="jobID")
    return tuple(
        ChoiceView(
            worker=choice["worker"],
            selected=choice["selected"],
            reason=choice["reason"],
            detail=choice["detail"],
        )
        for choice in found.selection
    )


def list_tasks(tx: Transaction, job_id: UUID, paging: Paging) -> Page[TaskView]:
    """
    Return one page of a job's tasks.

    Raises:
        NotFoundError: There is no such job.
        InvalidError: The order names an unknown field.
    """
    get_job(tx, job_id)
    statement = _tasks().where(job_task.c.job_id == job_id)
    rows, total = fetch_page(tx, statement, paging=paging, sorting=_TASK_SORTING)
    analyses = _analyses_of(tx, [row.id for row in rows])
    items = tuple(_task(row, analyses.get(row.id, ())) for row in rows)
    return Page(items=items, total=total)


def get_task(tx: Transaction, job_id: UUID, task_id: UUID) -> TaskView:
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
    analyses = _analyses_of(tx, [task_id]).get(task_id, ())
    return _task(row, analyses, events=_events_of(tx, task_id))


def _jobs() -> Select[Any]:
    return (
        select(job, sample.c.size_bytes, _open_tasks(), *customer_columns())
        .join_from(job, sample)
        .join(customer, customer.c.id == job.c.customer_id)
    )


def _open_tasks() -> ColumnElement[int]:
    open_states = [state.value for state in TaskState if not state.is_final]
    counted: ScalarSelect[int] = (
        select(func.count())
        .select_from(job_task)
        .where(job_task.c.job_id == job.c.id, job_task.c.state.in_(open_states))
        .scalar_subquery()
    )
    return counted.label("open_tasks")


def _conditions(tx: Transaction, wanted: JobFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.states:
        conditions.append(job.c.state.in_([state.value for state in wanted.states]))
    if wanted.sample_sha256s:
        conditions.append(job.c.sample_sha256.in_(wanted.sample_sha256s))
    if wanted.customers:
        ids = find_customer_ids(tx, wanted.customers)
        conditions.append(job.c.customer_id.in_(ids))
    if wanted.window.start is not None or wanted.window.end is not None:
        conditions.append(_within(wanted.window))
    return conditions


def _within(window: TimeWindow) -> ColumnElement[bool]:
    matches = [_matches(_JOB_TIMES[name], window) for name in window.fields]
    return and_(*matches) if window.match_all else or_(*matches)


def _matches(column: ColumnElement[Any], window: TimeWindow) -> ColumnElement[bool]:
    bounds: list[ColumnElement[bool]] = []
    if window.start is not None:
        bounds.append(column >= window.start)
    if window.end is not None:
        bounds.append(column <= window.end)
    return and_(*bounds)


def _tasks() -> Select[Any]:
    return select(job_task, worker.c.short_name).join_from(job_task, worker)


def _analyses_of(
    tx: Transaction, task_ids: Sequence[UUID]
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
        .where(task_analysis.c.task_id.in_(task_ids))
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


def _events_of(tx: Transaction, task_id: UUID) -> tuple[EventView, ...]:
    rows = tx.connection.execute(
        select(task_event)
        .where(task_event.c.task_id == task_id)
        .order_by(task_event.c.id)
    )
    return tuple(
        EventView(
            kind=row.kind,
            attempt=row.attempt,
            reason=row.reason,
            actor=row.actor,
            message=row.message,
            created_at=row.created_at,
        )
        for row in rows
    )


def _job(row: Row[Any]) -> JobView:
    return JobView(
        id=row.id,
        state=JobState(row.state),
        sample_sha256=row.sample_sha256,
        size_bytes=row.size_bytes,
        customer=customer_view(row),
        priority=row.priority,
        file_name=row.file_name,
        open_tasks=row.open_tasks,
        enqueued_at=row.enqueued_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
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
        losses=row.losses,
        holder=row.holder,
        late=row.late,
        enqueued_at=row.enqueued_at,
        queued_at=row.queued_at,
        published_at=row.published_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        analyses=analyses,
        events=events,
    )
