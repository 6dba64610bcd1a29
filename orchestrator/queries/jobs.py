"""
Reading jobs; their tasks are in ``tasks.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Row,
    ScalarSelect,
    Select,
    and_,
    bindparam,
    func,
    literal,
    or_,
    select,
    text,
    true,
)

from orchestrator.db.access import of_customers
from orchestrator.db.bulk import one_of
from orchestrator.db.states import OVER
from orchestrator.db.tables import JOB_TIME, customer, job, job_task, sample, verdict
from orchestrator.db.unit_of_work import Transaction
from orchestrator.db.users import (
    Customer,
    customer_columns,
    customer_view,
    get_customer_ids,
)
from orchestrator.domain.errors import NotFoundError
from orchestrator.domain.values import JobState, TaskState
from orchestrator.domain.viewer import Viewer
from orchestrator.queries.lists import Listing, Order, Page, Paging, Period, fetch_page

TimeField = Literal["enqueuedTimestamp", "startTimestamp", "endTimestamp"]
TIME_FIELDS: tuple[TimeField, ...] = get_args(TimeField)

_JOB_TIMES: Mapping[str, ColumnElement[Any]] = {
    "enqueuedTimestamp": job.c.enqueued_at,
    "startTimestamp": job.c.started_at,
    "endTimestamp": job.c.ended_at,
}
_JOBS = Listing(
    table=job,
    sorts={**_JOB_TIMES, "state": job.c.state},
    default=Order(name="enqueuedTimestamp", descending=True),
)
#: Not all: what selection said of every worker would weigh more than the rest.
_JOB_COLUMNS = (
    job.c.id,
    job.c.state,
    job.c.sample_sha256,
    job.c.priority,
    job.c.file_name,
    job.c.enqueued_at,
    job.c.started_at,
    job.c.ended_at,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobVerdict:
    """What a job's newest verdict says, in two words."""

    status: str
    score: int


@dataclass(frozen=True, kw_only=True, slots=True)
class JobView:
    """
    A job, with how many of its tasks are not over.

    ``verdict``: ``None`` as long as it has rolled none.
    """

    id: UUID
    state: JobState
    sample_sha256: str
    size_bytes: int
    customer: Customer
    priority: int
    file_name: str | None
    open_tasks: int
    enqueued_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    verdict: JobVerdict | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChoiceView:
    """What became of one worker when a job was created, and why."""

    worker: str
    selected: bool
    reason: str
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFilter:
    """
    Which jobs; an empty part does not filter.

    ``times``: which of a job's times are to be in the period, any of them or, with
    ``match_all_times``, all.
    """

    states: Sequence[JobState] = ()
    sample_sha256s: Sequence[str] = ()
    customers: Sequence[str] = ()
    period: Period = field(default_factory=Period)
    times: Sequence[TimeField] = TIME_FIELDS
    match_all_times: bool = False


def list_jobs(
    tx: Transaction, wanted: JobFilter, paging: Paging, *, viewer: Viewer
) -> Page[JobView]:
    """
    Return one page of the jobs that the viewer may see.

    Raises:
        InvalidError: The order names an unknown field, or there is no such customer.
    """
    conditions = [*_conditions(tx, wanted), *_visible(viewer)]
    rows, total = fetch_page(tx, _JOBS, _jobs(), *conditions, paging=paging)
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


def find_jobs(tx: Transaction, job_ids: Collection[UUID]) -> list[JobView]:
    """Return those of these jobs that are there."""
    rows = tx.connection.execute(_jobs().where(one_of(job.c.id, job_ids)))
    return [_job(row) for row in rows]


def find_why_no_verdict(tx: Transaction, job_id: UUID) -> str | None:
    """
    Return why a job that is over rolled no verdict; ``None`` if it did, or is open.
    """
    states = tx.connection.execute(
        text(
            f"""
            SELECT t.state, count(t.id) AS count
              FROM job j LEFT JOIN job_task t ON t.job_id = j.id
             WHERE j.id = :job AND j.state IN ({OVER})
               AND NOT EXISTS (SELECT 1 FROM verdict v WHERE v.job_id = j.id)
             GROUP BY t.state ORDER BY t.state
            """
        ),
        {"job": job_id},
    ).all()
    if not states:
        return None
    counts = {row.state: row.count for row in states if row.state is not None}
    if not counts:
        return "no worker was selected"
    if counts.keys() == {TaskState.CANCELLED}:
        return "all its tasks were cancelled, and those count for nothing"
    ended = ", ".join(f"{count} {state}" for state, count in counts.items())
    return f"nothing counted ({ended}): no worker has an analysis of this sample"


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


def _jobs() -> Select[Any]:
    newest = (
        select(verdict.c.status, verdict.c.score)
        .where(verdict.c.job_id == job.c.id)
        .order_by(verdict.c.created_at.desc())
        .limit(1)
        .lateral("newest_verdict")
    )
    return (
        select(
            *_JOB_COLUMNS,
            sample.c.size_bytes,
            _open_tasks(),
            *customer_columns(),
            newest.c.status.label("verdict_status"),
            newest.c.score.label("verdict_score"),
        )
        .join_from(job, sample)
        .join(customer, customer.c.id == job.c.customer_id)
        .join(newest, true(), isouter=True)
    )


def _open_tasks() -> ColumnElement[int]:
    open_states = [state.value for state in TaskState if not state.is_final]
    # Counted, not looked for: with the states as a condition an index of all open tasks
    # seems cheap to a planner whose statistics are old; so it is the job's own tasks.
    counted: ScalarSelect[int] = (
        select(func.count().filter(job_task.c.state.in_(open_states)))
        .where(job_task.c.job_id == job.c.id)
        .scalar_subquery()
    )
    return counted.label("open_tasks")


def _conditions(tx: Transaction, wanted: JobFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.states:
        conditions.append(_in_states(wanted.states))
    if wanted.sample_sha256s:
        conditions.append(job.c.sample_sha256.in_(wanted.sample_sha256s))
    if wanted.customers:
        ids = get_customer_ids(tx, wanted.customers)
        conditions.append(job.c.customer_id.in_(ids))
    if wanted.period.is_bounded:
        conditions.append(_within(wanted))
    return conditions


def _visible(viewer: Viewer) -> list[ColumnElement[bool]]:
    return [] if viewer.customer_ids is None else [of_customers(job, viewer)]


def _in_states(states: Sequence[JobState]) -> ColumnElement[bool]:
    # As constants: only then does the planner see that an index of open jobs is enough.
    words = [state.value for state in states]
    return job.c.state.in_(
        bindparam("states", words, expanding=True, literal_execute=True)
    )


def _within(wanted: JobFilter) -> ColumnElement[bool]:
    # A job starts and ends after it was ordered, and mostly within a day: said as well,
    # it lets the index of orders be read from there to there, and no further.
    bounds: list[ColumnElement[bool]] = []
    period = wanted.period
    if period.end is not None:
        bounds.append(job.c.enqueued_at <= period.end)
    if period.start is not None:
        bounds.append(job.c.enqueued_at >= _earliest(period.start))
    matches = [and_(*period.has(_JOB_TIMES[name])) for name in wanted.times]
    return and_(*bounds, and_(*matches) if wanted.match_all_times else or_(*matches))


def _earliest(start: datetime) -> ColumnElement[datetime]:
    """Return before when nothing was ordered that has a time from *start* on."""
    # The offset keeps the planner from looking for the first by order, past everything
    # that was before.
    slow = text(
        "SELECT min(enqueued_at) FROM (SELECT enqueued_at FROM job"
        f" WHERE is_long AND {JOB_TIME} >= :start OFFSET 0) AS slow"
    ).bindparams(bindparam("start", start, unique=True))
    first = slow.columns(job.c.enqueued_at).scalar_subquery()
    day = text("interval '1 day'")
    return func.least(literal(start, job.c.enqueued_at.type) - day, first)


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
        verdict=None
        if row.verdict_status is None
        else JobVerdict(status=row.verdict_status, score=row.verdict_score),
    )
