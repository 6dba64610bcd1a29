"""
Why each worker was selected for a job or not, and why a job has no verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, text

from orchestrator.db.states import OVER
from orchestrator.db.tables import job
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import NotFoundError
from orchestrator.domain.values import TaskState


@dataclass(frozen=True, kw_only=True, slots=True)
class ChoiceView:
    """What became of one worker when a job was created, and why."""

    worker: str
    selected: bool
    reason: str
    detail: str


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
