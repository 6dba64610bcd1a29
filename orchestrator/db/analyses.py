"""
Analyses and their links to tasks: what workers found.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Row, TextClause, or_, select, text

from orchestrator.db.access import visible_findings
from orchestrator.db.bulk import insert_rows, insertion, one_of
from orchestrator.db.states import SUCCESS
from orchestrator.db.tables import analysis, task_analysis
from orchestrator.db.unit_of_work import Transaction, json_text
from orchestrator.domain.verdict import Finding, StatusOverride, Tag
from orchestrator.domain.viewer import Viewer


@dataclass(frozen=True, kw_only=True, slots=True)
class NewAnalysis:
    """
    An analysis row to be. ``values`` are the columns that the contract names.
    """

    id: UUID
    values: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """That a task's attempt produced an analysis."""

    task_id: UUID
    analysis_id: UUID
    attempt: int
    late: bool


def add_analyses(
    tx: Transaction, analyses: Sequence[NewAnalysis], links: Sequence[Link]
) -> None:
    """Insert analyses of the same columns, and what they belong to."""
    if not analyses:
        return
    rows = [{"id": new.id, **new.values} for new in analyses]
    values = {
        "analyses": json_text(rows),
        "links": json_text([_link_row(link) for link in links]),
        "now": tx.now,
    }
    tx.connection.execute(_add(tuple(rows[0])), values)


def add_links(tx: Transaction, links: Sequence[Link]) -> None:
    """Say which tasks produced which analyses; a repeat changes nothing."""
    rows = [_link_row(link) for link in links]
    insert_rows(tx, task_analysis, rows, skip_present=True)


def _link_row(link: Link) -> dict[str, Any]:
    return {
        "task_id": link.task_id,
        "analysis_id": link.analysis_id,
        "attempt": link.attempt,
        "late": link.late,
    }


@cache
def _add(columns: tuple[str, ...]) -> TextClause:
    links = ("task_id", "analysis_id", "attempt", "late")
    return text(
        f"WITH added AS ({insertion('analysis', columns, rows='analyses')})"
        f" {insertion('task_analysis', links, rows='links')} ON CONFLICT DO NOTHING"
    )


def find_usable(
    tx: Transaction,
    ids: Collection[UUID],
    *,
    sample_sha256: str,
    worker_id: UUID,
    viewer: Viewer,
) -> set[UUID]:
    """
    Return those of these analyses that a task of this worker may have as its own.

    What nobody's worker found over HTTP may be this one's: its program has a name of
    its own. What another worker found would later count as this one's.
    """
    rows = tx.connection.execute(
        select(analysis.c.id).where(
            one_of(analysis.c.id, ids),
            analysis.c.sample_sha256 == sample_sha256,
            or_(analysis.c.worker_id.is_(None), analysis.c.worker_id == worker_id),
            visible_findings(analysis, viewer),
        )
    )
    return set(rows.scalars())


def linked_analyses(tx: Transaction, task_id: UUID) -> set[UUID]:
    """Return the analyses that a task has."""
    rows = tx.connection.execute(
        text("SELECT analysis_id FROM task_analysis WHERE task_id = :task"),
        {"task": task_id},
    )
    return set(rows.scalars())


def previous_findings(
    tx: Transaction, wanted: Sequence[tuple[UUID, str, UUID]]
) -> dict[tuple[UUID, UUID], Finding]:
    """
    Return, per (job, worker), the newest earlier analysis of the worker on the sample.

    Args:
        wanted: (job id, sample, worker id). "Previous" is what is linked to a task of
            another job that ended in success, or late, or outlived that task.
    """
    if not wanted:
        return {}
    rows = tx.connection.execute(
        _PREVIOUS,
        {
            "jobs": [job_id for job_id, _, _ in wanted],
            "samples": [sample for _, sample, _ in wanted],
            "workers": [worker_id for _, _, worker_id in wanted],
        },
    )
    return {(row.job_id, row.worker_id): read_finding(row) for row in rows}


#: Of an analysis ``a``, in SQL; :func:`read_finding` reads them.
FINDING = "a.id, a.score, a.status_override, a.agent_version, a.created_at, a.tags"
_PREVIOUS = text(
    f"""
    SELECT r.job_id, r.worker_id, a.*
      FROM unnest(CAST(:jobs AS uuid[]), CAST(:samples AS text[]),
                  CAST(:workers AS uuid[])) AS r(job_id, sample_sha256, worker_id),
           LATERAL (
             SELECT * FROM (
               (SELECT {FINDING}
                  FROM job_task t
                  JOIN task_analysis ta ON ta.task_id = t.id
                  JOIN analysis a ON a.id = ta.analysis_id
                 WHERE t.sample_sha256 = r.sample_sha256 AND t.worker_id = r.worker_id
                   AND t.job_id <> r.job_id AND (t.state = {SUCCESS} OR ta.late)
                 ORDER BY a.created_at DESC, a.id DESC LIMIT 1)
               UNION ALL
               (SELECT {FINDING} FROM analysis a
                 WHERE a.sample_sha256 = r.sample_sha256 AND a.worker_id = r.worker_id
                   AND a.outlived_task
                 ORDER BY a.created_at DESC, a.id DESC LIMIT 1)) a
              ORDER BY a.created_at DESC, a.id DESC LIMIT 1) a
    """
)


def read_finding(row: Row[Any]) -> Finding:
    """Build what an analysis says from a row that has :data:`FINDING`."""
    return Finding(
        analysis_id=row.id,
        score=row.score,
        override=StatusOverride(row.status_override) if row.status_override else None,
        worker_version=row.agent_version,
        created_at=row.created_at,
        tags=frozenset(Tag(type=tag["type"], value=tag["value"]) for tag in row.tags),
    )
