"""
Job tasks: locking them in the one order, reading and saving them in batches.

The backlog and its claims are in ``db/backlog.py``; the rules are the domain's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from orchestrator.db.bulk import update_rows
from orchestrator.db.tables import job_task
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.values import Reason, Task, TaskState

_COLUMNS = (
    "t.id, t.job_id, t.worker_id, t.sample_sha256, t.state, t.reason, t.message, "
    "t.attempt, t.losses, t.holder, t.not_before, t.queued_at, t.published_at, "
    "t.started_at, t.ended_at, t.due_at, t.late"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedTasks:
    """Tasks that exist, by id, and for which customer each is."""

    tasks: dict[UUID, Task]
    customers: dict[UUID, UUID]


def find_tasks_for_update(tx: Transaction, ids: Iterable[UUID]) -> LockedTasks:
    """
    Lock the jobs of these tasks, then the tasks, each by id; wait for both.

    Everybody locks in this order, so nobody ever waits in a circle.
    """
    rows = tx.connection.execute(_LOCK, {"ids": list(ids)}).all()
    return LockedTasks(
        tasks={row.id: _task(row) for row in rows},
        customers={row.id: row.customer_id for row in rows},
    )


def find_free_tasks_for_update(
    tx: Transaction, ids: Iterable[UUID]
) -> dict[UUID, Task]:
    """
    Lock as :func:`find_tasks_for_update`, but leave out what somebody else has locked.

    For sweeps: who is left out is there again in the next one.
    """
    wanted = {"ids": list(ids)}
    if not wanted["ids"]:
        return {}
    jobs = tx.connection.execute(
        text(
            "SELECT id FROM job WHERE id IN"
            " (SELECT job_id FROM job_task WHERE id = ANY(:ids))"
            " ORDER BY id FOR NO KEY UPDATE SKIP LOCKED"
        ),
        wanted,
    )
    rows = tx.connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM job_task t WHERE id = ANY(:ids)"
            " AND job_id = ANY(:jobs) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED"
        ),
        {**wanted, "jobs": list(jobs.scalars())},
    )
    return {row.id: _task(row) for row in rows.all()}


def find_tasks_of_job_for_update(tx: Transaction, job_id: UUID) -> list[Task]:
    """Lock a job, then its tasks by id, and return them."""
    key = {"job": job_id}
    tx.connection.execute(
        text("SELECT id FROM job WHERE id = :job FOR NO KEY UPDATE"), key
    )
    rows = tx.connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM job_task t WHERE job_id = :job"
            " ORDER BY id FOR NO KEY UPDATE"
        ),
        key,
    )
    return [_task(row) for row in rows.all()]


def find_task_ids(tx: Transaction, job_ids: Sequence[UUID]) -> list[UUID]:
    """Return the tasks of these jobs, without a lock."""
    if not job_ids:
        return []
    rows = tx.connection.execute(
        text("SELECT id FROM job_task WHERE job_id = ANY(:jobs)"),
        {"jobs": list(job_ids)},
    )
    return list(rows.scalars())


@dataclass(frozen=True, kw_only=True, slots=True)
class PresentAttempt:
    """How things stand with a task's present attempt, and whose it is."""

    attempt: int
    state: TaskState
    holder: str | None


def present_attempts(
    tx: Transaction, ids: Collection[UUID]
) -> dict[UUID, PresentAttempt]:
    """Return the present attempt of each of these tasks, without a lock."""
    rows = tx.connection.execute(
        text("SELECT id, attempt, state, holder FROM job_task WHERE id = ANY(:ids)"),
        {"ids": list(ids)},
    )
    return {
        row.id: PresentAttempt(
            attempt=row.attempt, state=TaskState(row.state), holder=row.holder
        )
        for row in rows
    }


def set_message(tx: Transaction, task_id: UUID, message: str) -> None:
    """Let a locked task say something else; nothing of its state changes."""
    tx.connection.execute(
        text("UPDATE job_task SET message = :message WHERE id = :id"),
        {"id": task_id, "message": message},
    )


def save_tasks(tx: Transaction, tasks: Sequence[Task]) -> None:
    """Write locked tasks back, all in one statement."""
    rows = [{name: getattr(task, name) for name in _SAVED} for task in tasks]
    update_rows(tx, job_task, rows)


# The jobs are counted before the first task is looked at, and so locked: all of them.
_LOCK = text(
    f"""
    WITH jobs AS MATERIALIZED (
        SELECT id FROM job
         WHERE id IN (SELECT job_id FROM job_task WHERE id = ANY(:ids))
         ORDER BY id FOR NO KEY UPDATE
    )
    SELECT {_COLUMNS},
           (SELECT customer_id FROM job WHERE id = t.job_id) AS customer_id
      FROM job_task t
     WHERE t.id = ANY(:ids) AND (SELECT count(*) FROM jobs) > 0
     ORDER BY t.id FOR NO KEY UPDATE
    """
)
_SAVED = (
    "id",
    "state",
    "reason",
    "message",
    "attempt",
    "losses",
    "holder",
    "not_before",
    "queued_at",
    "published_at",
    "started_at",
    "ended_at",
    "due_at",
    "late",
)


def _task(row: Row[Any]) -> Task:
    return Task(
        id=row.id,
        job_id=row.job_id,
        worker_id=row.worker_id,
        sample_sha256=row.sample_sha256,
        state=TaskState(row.state),
        reason=Reason(row.reason) if row.reason else None,
        message=row.message,
        attempt=row.attempt,
        losses=row.losses,
        holder=row.holder,
        not_before=row.not_before,
        queued_at=row.queued_at,
        published_at=row.published_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        due_at=row.due_at,
        late=row.late,
    )
