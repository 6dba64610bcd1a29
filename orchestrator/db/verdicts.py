"""
Verdicts with their inputs, and which of them is a sample's current one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import select, text

from orchestrator.db.analyses import FINDING, read_finding
from orchestrator.db.bulk import insertion
from orchestrator.db.tables import verdict
from orchestrator.db.unit_of_work import Transaction, json_text
from orchestrator.domain.values import TaskState
from orchestrator.domain.verdict import (
    Contribution,
    Finding,
    StatusOverride,
    Verdict,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rolled:
    """A verdict to be stored; ``job_id`` is ``None`` for one made by hand."""

    id: UUID
    sample_sha256: str
    job_id: UUID | None
    verdict: Verdict
    manual_override: StatusOverride | None = None
    comment: str | None = None
    created_by: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CurrentVerdict:
    """What is said of a sample now; ``job_id``: ``None`` for one made by hand."""

    id: UUID
    job_id: UUID | None
    score: int
    status: str

    def differs(self, before: CurrentVerdict | None) -> bool:
        """Whether it says something else than the one before it, if there was one."""
        said = before and (before.score, before.status)
        return said != (self.score, self.status)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskOfJob:
    """A task as the verdict sees it; ``own``: its analyses, oldest first."""

    job_id: UUID
    worker_id: UUID
    short_name: str
    weight: float
    state: TaskState
    own: tuple[Finding, ...]


def tasks_of_jobs(tx: Transaction, job_ids: Sequence[UUID]) -> list[TaskOfJob]:
    """Return every task of these jobs, with its worker's weight and its analyses."""
    found = tx.connection.execute(_TASKS_OF_JOBS, {"jobs": list(job_ids)}).all()
    tasks = []
    for _, its_rows in groupby(found, key=attrgetter("task_id")):
        rows = list(its_rows)
        tasks.append(
            TaskOfJob(
                job_id=rows[0].job_id,
                worker_id=rows[0].worker_id,
                short_name=rows[0].short_name,
                weight=rows[0].weight,
                state=TaskState(rows[0].state),
                own=tuple(read_finding(row) for row in rows if row.id is not None),
            )
        )
    return tasks


def weights(tx: Transaction, worker_ids: Collection[UUID]) -> dict[UUID, float]:
    """Return the weights of these workers."""
    if not worker_ids:
        return {}
    rows = tx.connection.execute(
        text("SELECT id, weight FROM worker WHERE id = ANY(:ids)"),
        {"ids": list(worker_ids)},
    )
    return {row.id: row.weight for row in rows}


def lock_samples(tx: Transaction, sha256s: Sequence[str]) -> None:
    """Lock samples by id; after jobs and tasks, as everybody does."""
    tx.connection.execute(
        text(
            "SELECT sha256 FROM sample WHERE sha256 = ANY(:ids)"
            " ORDER BY sha256 FOR NO KEY UPDATE"
        ),
        {"ids": list(sha256s)},
    )


def manual_overrides(
    tx: Transaction, sha256s: Sequence[str]
) -> dict[str, StatusOverride]:
    """Return the status of each sample's newest verdict made by hand, if any."""
    rows = tx.connection.execute(
        text(
            "SELECT DISTINCT ON (sample_sha256) sample_sha256, status_override"
            " FROM verdict WHERE sample_sha256 = ANY(:ids) AND is_manual"
            " ORDER BY sample_sha256, created_at DESC, id DESC"
        ),
        {"ids": list(sha256s)},
    )
    return {row.sample_sha256: StatusOverride(row.status_override) for row in rows}


def find_manual(
    tx: Transaction, rolled: Rolled, *, newer_than: timedelta
) -> UUID | None:
    """Return the sample's newest manual verdict if it is that new and the same."""
    newest = tx.connection.execute(
        select(verdict)
        .where(verdict.c.sample_sha256 == rolled.sample_sha256, verdict.c.is_manual)
        .order_by(verdict.c.created_at.desc(), verdict.c.id.desc())
        .limit(1)
    ).first()
    if newest is None or newest.created_at <= tx.now - newer_than:
        return None
    said = newest.status_override, newest.comment, newest.created_by
    is_same = said == (
        rolled.verdict.status_override,
        rolled.comment,
        rolled.created_by,
    )
    return newest.id if is_same else None


def find_current(
    tx: Transaction, sha256s: Collection[str]
) -> dict[str, CurrentVerdict]:
    """Return the current verdicts of those of these samples that have one."""
    rows = tx.connection.execute(
        text(
            "SELECT s.sha256, v.id, v.job_id, v.score, v.status"
            " FROM sample s JOIN verdict v ON v.id = s.verdict_id"
            " WHERE s.sha256 = ANY(:ids) ORDER BY s.sha256"
        ),
        {"ids": list(sha256s)},
    )
    return {
        row.sha256: CurrentVerdict(
            id=row.id, job_id=row.job_id, score=row.score, status=row.status
        )
        for row in rows
    }


def add_verdicts(tx: Transaction, rolled: Sequence[Rolled]) -> None:
    """Insert verdicts with all that they were rolled from."""
    if not rolled:
        return
    inputs = [
        _input(roll_up.id, part)
        for roll_up in rolled
        for part in roll_up.verdict.contributions
    ]
    values = {
        "verdicts": json_text([_row(roll_up) for roll_up in rolled]),
        "inputs": json_text(inputs),
        "now": tx.now,
    }
    tx.connection.execute(_ADD, values)


def make_current(tx: Transaction, rolled: Mapping[UUID, UUID]) -> None:
    """
    Let each sample point at its verdict: that of its newest job, or a newer manual one.

    Args:
        rolled: Job id → id of the verdict just rolled for it. Samples are locked.
    """
    if not rolled:
        return
    tx.connection.execute(
        text(
            """
            WITH rolled AS (
                SELECT DISTINCT ON (j.sample_sha256)
                       j.sample_sha256, j.enqueued_at, r.verdict_id
                  FROM unnest(CAST(:jobs AS uuid[]), CAST(:verdicts AS uuid[]))
                       AS r(job_id, verdict_id)
                  JOIN job j ON j.id = r.job_id
                 ORDER BY j.sample_sha256, j.enqueued_at DESC
            )
            UPDATE sample s SET verdict_id = r.verdict_id
              FROM rolled r
             WHERE s.sha256 = r.sample_sha256
               AND NOT EXISTS (
                   SELECT 1 FROM verdict v LEFT JOIN job old ON old.id = v.job_id
                    WHERE v.id = s.verdict_id
                      AND coalesce(old.enqueued_at, v.created_at) > r.enqueued_at)
            """
        ),
        {"jobs": list(rolled), "verdicts": list(rolled.values())},
    )


def point_sample_at(tx: Transaction, sha256: str, verdict_id: UUID) -> None:
    """Make a verdict by hand the sample's current one."""
    tx.connection.execute(
        text("UPDATE sample SET verdict_id = :verdict WHERE sha256 = :sha256"),
        {"verdict": verdict_id, "sha256": sha256},
    )


def _row(rolled: Rolled) -> dict[str, Any]:
    outcome = rolled.verdict
    return {
        "id": rolled.id,
        "sample_sha256": rolled.sample_sha256,
        "job_id": rolled.job_id,
        "score": outcome.score,
        "status": outcome.status.value,
        "status_override": (
            outcome.status_override.value if outcome.status_override else None
        ),
        "is_contradicting": outcome.contradicting,
        "is_manual": rolled.job_id is None,
        "comment": rolled.comment,
        "coverage_percent": None if rolled.job_id is None else outcome.coverage_percent,
        "manual_override": (
            rolled.manual_override.value if rolled.manual_override else None
        ),
        "tags": [
            {
                "type": tag_count.tag.type,
                "value": tag_count.tag.value,
                "count": tag_count.count,
            }
            for tag_count in outcome.tags
        ],
        "created_by": rolled.created_by,
    }


def _input(verdict_id: UUID, part: Contribution) -> dict[str, Any]:
    return {
        "verdict_id": verdict_id,
        "worker_id": part.worker_id,
        "short_name": part.short_name,
        "source": part.source.value,
        "why": part.why.value if part.why else None,
        "analysis_id": part.analysis_id,
        "score": part.score,
        "weight": part.weight,
        "impact": part.impact,
        "difference": part.difference,
        "status_override": part.override.value if part.override else None,
        "age_seconds": part.age_seconds,
        "worker_version": part.worker_version,
    }


_TASKS_OF_JOBS = text(
    f"""
    SELECT t.id AS task_id, t.job_id, t.worker_id, w.short_name, w.weight, t.state,
           {FINDING}
      FROM job_task t JOIN worker w ON w.id = t.worker_id
      LEFT JOIN task_analysis ta ON ta.task_id = t.id
      LEFT JOIN analysis a ON a.id = ta.analysis_id
     WHERE t.job_id = ANY(:jobs)
     ORDER BY t.job_id, w.short_name, t.id, a.created_at, a.id
    """
)
_VERDICT_COLUMNS = (
    *("id", "sample_sha256", "job_id", "score", "status", "status_override"),
    *("is_contradicting", "is_manual", "comment", "coverage_percent"),
    *("manual_override", "tags", "created_by"),
)
_INPUT_COLUMNS = (
    *("verdict_id", "worker_id", "short_name", "source", "why", "analysis_id"),
    *("score", "weight", "impact", "difference", "status_override", "age_seconds"),
    "worker_version",
)
_ADD = text(
    f"WITH added AS ({insertion('verdict', _VERDICT_COLUMNS, rows='verdicts')})"
    f" {insertion('verdict_input', _INPUT_COLUMNS, rows='inputs')}"
)
