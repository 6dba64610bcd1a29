"""
Jobs: creating them once, reading their tasks' states, saving what follows from those.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text, update

from orchestrator.db.bulk import insertion, one_of
from orchestrator.db.counters import TASKS_ENQUEUED
from orchestrator.db.states import ENQUEUED, OVER
from orchestrator.db.tables import job
from orchestrator.db.unit_of_work import Transaction, json_text
from orchestrator.domain.values import JobState, Reason, TaskState


@dataclass(frozen=True, kw_only=True, slots=True)
class NewJob:
    """A job row to be."""

    id: UUID
    sample_sha256: str
    customer_id: UUID
    submitter_id: UUID
    priority: int
    file_name: str | None
    options: Mapping[str, Any]
    selection: Sequence[Mapping[str, Any]]
    is_chosen: bool
    is_reanalysis: bool
    idempotency_key: str | None
    content_hash: str | None
    enqueued_at: datetime
    due_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class NewTask:
    """A task row of a new job to be: enqueued with it, not yet published."""

    id: UUID
    worker_id: UUID
    order_at: datetime
    due_at: datetime
    options: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRow:
    """
    What settling needs of a job.

    ``task_states``: (state, reason) of its tasks, each once. ``selection``: where its
    workers were chosen.
    """

    id: UUID
    sample_sha256: str
    customer_id: UUID
    state: JobState
    started_at: datetime | None
    is_chosen: bool
    selection: Sequence[Mapping[str, Any]]
    task_states: frozenset[tuple[TaskState, Reason | None]]


def add_jobs(
    tx: Transaction, new: Sequence[tuple[NewJob, Sequence[NewTask]]]
) -> set[UUID]:
    """
    Insert jobs with their tasks and count those, all in one statement, but for jobs
    whose submitter used the idempotency key before.

    Returns:
        The ids of those that are new; a concurrent insert of a same key is waited for.
    """
    added = tx.connection.execute(
        _ADD,
        {
            "jobs": json_text([_job_row(job) for job, _ in new]),
            "tasks": json_text(
                [_task_row(job, task) for job, tasks in new for task in tasks]
            ),
            "now": tx.now,
        },
    )
    return set(added.scalars())


def _job_row(new: NewJob) -> dict[str, Any]:
    return {
        "id": new.id,
        "sample_sha256": new.sample_sha256,
        "customer_id": new.customer_id,
        "submitter_id": new.submitter_id,
        "state": JobState.ENQUEUED.value,
        "priority": new.priority,
        "file_name": new.file_name,
        "options": dict(new.options),
        "selection": new.selection,
        "is_chosen": new.is_chosen,
        "is_reanalysis": new.is_reanalysis,
        "idempotency_key": new.idempotency_key,
        "content_hash": new.content_hash,
        "enqueued_at": new.enqueued_at,
        "due_at": new.due_at,
    }


def _task_row(new: NewJob, task: NewTask) -> dict[str, Any]:
    return {
        "id": task.id,
        "job_id": new.id,
        "worker_id": task.worker_id,
        "sample_sha256": new.sample_sha256,
        "submitter_id": new.submitter_id,
        "state": TaskState.ENQUEUED.value,
        "order_at": task.order_at,
        "enqueued_at": new.enqueued_at,
        "queued_at": new.enqueued_at,
        "due_at": task.due_at,
        "options": dict(task.options),
    }


def find_by_idempotency_keys(
    tx: Transaction, submitter_id: UUID, keys: Collection[str]
) -> dict[str, tuple[UUID, str | None]]:
    """Return key → (job id, content hash) of the submitter's jobs of these keys."""
    rows = tx.connection.execute(
        select(job.c.idempotency_key, job.c.id, job.c.content_hash).where(
            job.c.submitter_id == submitter_id,
            # Said, or the planner does not see that the index of keys will do.
            job.c.idempotency_key.is_not(None),
            one_of(job.c.idempotency_key, keys),
        )
    )
    return {row.idempotency_key: (row.id, row.content_hash) for row in rows}


def find_reanalysis(
    tx: Transaction, submitter_id: UUID, sample_sha256: str, *, newer_than: timedelta
) -> UUID | None:
    """
    Return the submitter's newest reanalysis of this sample, if it is that new, open or
    over: it may be over before its answer is missed.
    """
    return tx.connection.execute(
        select(job.c.id)
        .where(
            job.c.sample_sha256 == sample_sha256,
            job.c.submitter_id == submitter_id,
            job.c.is_reanalysis,
            job.c.enqueued_at > tx.now - newer_than,
        )
        .order_by(job.c.enqueued_at.desc())
        .limit(1)
    ).scalar_one_or_none()


def lock_submissions(tx: Transaction, submitter_id: UUID, sample_sha256: str) -> None:
    """Let one request at a time decide whether this submitter's job is a repeat."""
    tx.one_at_a_time(f"submit {submitter_id} {sample_sha256}")


def find_jobs(tx: Transaction, ids: Sequence[UUID]) -> list[JobRow]:
    """Return the jobs (locked already by the caller), by id."""
    rows = tx.connection.execute(_FIND, {"ids": list(ids)})
    return [
        JobRow(
            id=row.id,
            sample_sha256=row.sample_sha256,
            customer_id=row.customer_id,
            state=JobState(row.state),
            started_at=row.started_at,
            is_chosen=row.is_chosen,
            selection=row.selection or (),
            task_states=frozenset(map(_state_of, row.task_states or ())),
        )
        for row in rows
    ]


def _state_of(words: str) -> tuple[TaskState, Reason | None]:
    state, _, reason = words.partition(" ")
    return TaskState(state), Reason(reason) if reason else None


def save_states(tx: Transaction, states: Mapping[UUID, JobState]) -> None:
    """Write the derived states; a job starts once, and ends when it is over."""
    if not states:
        return
    tx.connection.execute(
        text(
            f"""
            UPDATE job j SET state = r.state,
                   started_at = CASE WHEN r.state = {ENQUEUED} THEN j.started_at
                                     ELSE coalesce(j.started_at, :now) END,
                   ended_at = CASE WHEN r.state IN ({OVER}) THEN :now END
              FROM unnest(CAST(:ids AS uuid[]), CAST(:states AS text[]))
                   AS r(id, state)
             WHERE j.id = r.id
            """
        ),
        {
            "ids": list(states),
            "states": [state.value for state in states.values()],
            "now": tx.now,
        },
    )


def extend(tx: Transaction, job_id: UUID, *, due_at: datetime) -> None:
    """Give a job a new deadline."""
    tx.connection.execute(update(job).where(job.c.id == job_id).values(due_at=due_at))


def find_due(tx: Transaction, *, before: datetime, limit: int) -> list[UUID]:
    """Return open jobs whose deadline has passed, oldest first."""
    rows = tx.connection.execute(
        select(job.c.id)
        .where(
            job.c.due_at <= before,
            job.c.state.in_([JobState.ENQUEUED, JobState.EXECUTING]),
        )
        .order_by(job.c.due_at)
        .limit(limit)
    )
    return list(rows.scalars())


def get_submitter(tx: Transaction, job_id: UUID) -> UUID:
    """Return whose job it is; it must be there."""
    submitter_id: UUID = tx.connection.execute(
        select(job.c.submitter_id).where(job.c.id == job_id)
    ).scalar_one()
    return submitter_id


def exists(tx: Transaction, job_id: UUID) -> bool:
    """Whether there is such a job."""
    found = select(func.count()).select_from(job).where(job.c.id == job_id)
    return bool(tx.connection.execute(found).scalar_one())


_FIND = text(
    """
    SELECT j.id, j.sample_sha256, j.customer_id, j.state, j.started_at, j.is_chosen,
           CASE WHEN j.is_chosen THEN j.selection END AS selection,
           (SELECT array_agg(DISTINCT concat_ws(' ', t.state, t.reason))
              FROM job_task t WHERE t.job_id = j.id) AS task_states
      FROM job j WHERE j.id = ANY(:ids) ORDER BY j.id
    """
)
_JOB_COLUMNS = (
    *("id", "sample_sha256", "customer_id", "submitter_id", "state", "priority"),
    *("file_name", "options", "selection", "is_chosen", "is_reanalysis"),
    *("idempotency_key", "content_hash", "enqueued_at", "due_at"),
)
_TASK_COLUMNS = (
    *("id", "job_id", "worker_id", "sample_sha256", "submitter_id", "state"),
    *("order_at", "enqueued_at", "queued_at", "due_at", "options"),
)
_ADD = text(
    f"""
    WITH added AS (
        {insertion("job", _JOB_COLUMNS, rows="jobs")}
        ON CONFLICT (submitter_id, idempotency_key)
              WHERE idempotency_key IS NOT NULL DO NOTHING
        RETURNING id
    ), their_tasks AS (
        {insertion("job_task", _TASK_COLUMNS, rows="tasks")}
         WHERE job_id IN (SELECT id FROM added)
        RETURNING worker_id
    ), their_count AS (
        INSERT INTO counter (name, labels, value, created_at)
        SELECT '{TASKS_ENQUEUED.name}', jsonb_build_object('worker', worker_id),
               count(*), CAST(:now AS timestamptz)
          FROM their_tasks GROUP BY worker_id
    )
    SELECT id FROM added
    """
)
