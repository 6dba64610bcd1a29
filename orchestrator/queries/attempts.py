"""
Reading the one attempt that a replica speaks for, and nothing else of its job.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from orchestrator.db.tables import job_task, worker
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import IllegalTransitionError, NotFoundError
from orchestrator.domain.values import TaskState


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptView:
    """The present attempt of a task, whose it is, and on which sample."""

    task_id: UUID
    attempt: int
    worker: str
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
        state=TaskState(row.state),
        sample_sha256=row.sample_sha256,
    )
