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
    exists,
    func,
    literal,
    or_,
    select,
    text,
    true,
    tuple_,
)

from orchestrator.db.access import of_customers
from orchestrator.db.bulk import one_of
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
from orchestrator.queries.lists import (
    COUNT_MAX,
    Listing,
    Order,
    Page,
    Paging,
    Period,
    count,
    fetch_page,
    order_by,
)

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Seek:
    """A place in the list of jobs, that of one of them; what is beyond it is wanted."""

    enqueued_at: datetime
    job_id: UUID
    newer: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """Jobs one after the other; ``has_more``: beyond them, in the same direction."""

    items: tuple[JobView, ...]
    has_more: bool


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


def seek_jobs(
    tx: Transaction,
    wanted: JobFilter,
    *,
    viewer: Viewer,
    limit: int,
    seek: Seek | None = None,
) -> Stretch:
    """
    Return jobs that the viewer may see, the newest first, from some place on: however
    far down the list that is, it costs the same.

    Raises:
        InvalidError: There is no such customer.
    """
    conditions = [*_conditions(tx, wanted), *_visible(viewer)]
    key = tuple_(job.c.enqueued_at, job.c.id)
    is_newer = seek is not None and seek.newer
    if seek is not None:
        place = tuple_(literal(seek.enqueued_at), literal(seek.job_id))
        conditions.append(key > place if is_newer else key < place)
    order = [column.asc() if is_newer else column.desc() for column in key]
    statement = _jobs().where(*conditions).order_by(*order).limit(limit + 1)
    rows = tx.connection.execute(statement).all()
    items = [_job(row) for row in rows[:limit]]
    return Stretch(
        items=tuple(reversed(items) if is_newer else items),
        has_more=len(rows) > limit,
    )


def count_jobs(tx: Transaction, wanted: JobFilter, *, viewer: Viewer) -> int:
    """
    Count the jobs that :func:`list_jobs` would list; -1 where that is too many.

    Raises:
        InvalidError: There is no such customer.
    """
    conditions = [*_conditions(tx, wanted), *_visible(viewer)]
    matches = select(literal(1)).select_from(job).where(*conditions)
    return count(tx, matches.order_by(*order_by((), _JOBS)), Paging())


def find_retryable(
    tx: Transaction, wanted: JobFilter, *, viewer: Viewer, limit: int
) -> tuple[UUID, ...]:
    """
    Return jobs with a failed or timed-out task, among the newest that match.

    Raises:
        InvalidError: There is no such customer.
    """
    conditions = [*_conditions(tx, wanted), *_visible(viewer)]
    newest = (
        select(job.c.id, job.c.enqueued_at)
        .where(*conditions)
        .order_by(*order_by((), _JOBS))
        .limit(COUNT_MAX)
        .subquery("newest")
    )
    ended_badly = (TaskState.FAILED.value, TaskState.TIMEOUT.value)
    failed = exists().where(
        job_task.c.job_id == newest.c.id, job_task.c.state.in_(ended_badly)
    )
    statement = (
        select(newest.c.id)
        .where(failed)
        .order_by(newest.c.enqueued_at.desc(), newest.c.id.desc())
    )
    return tuple(tx.connection.execute(statement.limit(limit)).scalars())


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
