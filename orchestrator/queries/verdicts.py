"""
Reading verdicts with every part that made them, as far as the viewer may know.

What a sample comes to is for everybody who may see it. Which analyses said so, and in
which job, is for those to whom these may travel; a person's name and words are for
that person's customer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, and_, func, select
from sqlalchemy.dialects.postgresql import distinct_on

from orchestrator.db.access import visible_findings, visible_words
from orchestrator.db.bulk import one_of
from orchestrator.db.samples import get_sample_size
from orchestrator.db.tables import analysis, job, verdict, verdict_input
from orchestrator.db.unit_of_work import Transaction
from orchestrator.db.users import UserView, find_users
from orchestrator.domain.errors import NotFoundError
from orchestrator.domain.values import JobState
from orchestrator.domain.verdict import Source, VerdictStatus, Why
from orchestrator.domain.viewer import Viewer
from orchestrator.queries.lists import Listing, Order, Page, Paging, fetch_page


def _triggered_detections() -> ColumnElement[int]:
    counted = (
        select(
            func.coalesce(func.sum(func.jsonb_array_length(analysis.c.detections)), 0)
        )
        .join_from(verdict_input, analysis)
        .where(verdict_input.c.verdict_id == verdict.c.id)
        .correlate(verdict)
    )
    return counted.scalar_subquery()


_LISTING = Listing(
    table=verdict,
    sorts={
        "createdTimestamp": verdict.c.created_at,
        "score": verdict.c.score,
        "triggeredDetections": _triggered_detections(),
    },
    default=Order(name="createdTimestamp", descending=True),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ContributionView:
    """
    One worker's part of a verdict; the last four are its analysis', if there is one.

    Of an analysis that the viewer may not see there is only what it came to. The
    words are those of ``domain/verdict.py``.
    """

    worker: str
    source: Source
    why: Why | None
    score: int | None
    weight: float
    impact: float | None
    difference: float | None
    analysis_id: UUID | None
    is_hidden: bool
    age_seconds: float | None
    worker_version: str | None
    agent_name: str | None
    tags: Sequence[dict[str, Any]]
    detections: Sequence[dict[str, Any]]
    possible_detections: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class VerdictView:
    """
    A verdict.

    ``job_id``: ``None`` for one made by hand, after retention, or another customer's.
    ``comment``, ``created_by``: only of one made by hand for the viewer's customer.
    """

    id: UUID
    sample_sha256: str
    job_id: UUID | None
    job_state: JobState | None
    score: int
    status: VerdictStatus
    status_override: str | None
    is_contradicting: bool
    is_manual: bool
    comment: str | None
    coverage_percent: float | None
    tags: Sequence[dict[str, Any]]
    created_by: UserView | None
    created_at: datetime
    contributions: tuple[ContributionView, ...]


def list_verdicts(
    tx: Transaction, sha256: str, paging: Paging, *, viewer: Viewer
) -> Page[VerdictView]:
    """
    Return one page of a sample's verdicts.

    Raises:
        NotFoundError: There is no such sample.
        InvalidError: The order names an unknown field.
    """
    get_sample_size(tx, sha256)
    of_sample = verdict.c.sample_sha256 == sha256
    rows, total = fetch_page(tx, _LISTING, _verdicts(viewer), of_sample, paging=paging)
    return Page(items=_views(tx, rows, viewer), total=total)


def find_verdicts(
    tx: Transaction, verdict_ids: Sequence[UUID], *, viewer: Viewer
) -> dict[UUID, VerdictView]:
    """Return the verdicts of these ids."""
    rows = tx.connection.execute(
        _verdicts(viewer).where(one_of(verdict.c.id, verdict_ids))
    ).all()
    views = _views(tx, rows, viewer)
    return {row.id: view for row, view in zip(rows, views, strict=True)}


def find_newest_of_jobs(
    tx: Transaction, job_ids: Collection[UUID], *, viewer: Viewer
) -> dict[UUID, VerdictView]:
    """Return the newest verdict of each of these jobs that has one."""
    newest = _newest(tx, verdict.c.job_id, job_ids)
    found = find_verdicts(tx, list(newest.values()), viewer=viewer)
    return {job_id: found[verdict_id] for job_id, verdict_id in newest.items()}


def find_newest_of_samples(
    tx: Transaction, sha256s: Collection[str], *, viewer: Viewer
) -> list[VerdictView]:
    """Return the newest verdict of each of these samples that has one."""
    newest = _newest(tx, verdict.c.sample_sha256, sha256s)
    return list(find_verdicts(tx, list(newest.values()), viewer=viewer).values())


def _newest(
    tx: Transaction, column: ColumnElement[Any], keys: Collection[Any]
) -> dict[Any, UUID]:
    if not keys:
        return {}
    rows = tx.connection.execute(
        select(column.label("key"), verdict.c.id)
        .where(one_of(column, keys))
        .order_by(column, verdict.c.created_at.desc())
        .ext(distinct_on(column))
    )
    return {row.key: row.id for row in rows}


def get_verdict(tx: Transaction, verdict_id: UUID, *, viewer: Viewer) -> VerdictView:
    """
    Return one verdict.

    Raises:
        NotFoundError: There is none.
    """
    found = find_verdicts(tx, [verdict_id], viewer=viewer)
    if verdict_id not in found:
        raise NotFoundError(f"there is no verdict {verdict_id}")
    return found[verdict_id]


def _verdicts(viewer: Viewer) -> Select[Any]:
    return select(
        verdict,
        job.c.state.label("job_state"),
        job.c.customer_id.label("job_owner"),
        visible_words(viewer).label("has_words"),
    ).join_from(verdict, job, job.c.id == verdict.c.job_id, isouter=True)


def _views(
    tx: Transaction, rows: Sequence[Row[Any]], viewer: Viewer
) -> tuple[VerdictView, ...]:
    users = find_users(tx, {row.created_by for row in rows if row.has_words})
    parts = _contributions_of(tx, [row.id for row in rows], viewer)
    return tuple(
        _view(row, users.get(row.created_by), parts.get(row.id, ()), viewer)
        for row in rows
    )


def _contributions_of(
    tx: Transaction, verdict_ids: Sequence[UUID], viewer: Viewer
) -> dict[UUID, tuple[ContributionView, ...]]:
    # Left out where it may not be seen: its columns are null then.
    shown = and_(
        analysis.c.id == verdict_input.c.analysis_id,
        visible_findings(analysis, viewer),
    )
    rows = tx.connection.execute(
        select(
            verdict_input,
            analysis.c.id.label("shown_id"),
            analysis.c.agent_name,
            analysis.c.tags,
            analysis.c.detections,
            analysis.c.possible_detections,
        )
        .join_from(verdict_input, analysis, shown, isouter=True)
        .where(one_of(verdict_input.c.verdict_id, verdict_ids))
        .order_by(verdict_input.c.short_name)
    )
    found: dict[UUID, tuple[ContributionView, ...]] = {}
    for row in rows:
        found[row.verdict_id] = (*found.get(row.verdict_id, ()), _contribution(row))
    return found


def _contribution(row: Row[Any]) -> ContributionView:
    return ContributionView(
        worker=row.short_name,
        source=Source(row.source),
        why=Why(row.why) if row.why else None,
        score=row.score,
        weight=row.weight,
        impact=row.impact,
        difference=row.difference,
        analysis_id=row.shown_id,
        is_hidden=row.analysis_id is not None and row.shown_id is None,
        age_seconds=row.age_seconds,
        worker_version=row.worker_version,
        agent_name=row.agent_name,
        tags=row.tags or (),
        detections=row.detections or (),
        possible_detections=row.possible_detections,
    )


def _view(
    row: Row[Any],
    created_by: UserView | None,
    contributions: tuple[ContributionView, ...],
    viewer: Viewer,
) -> VerdictView:
    is_own = row.job_owner is not None and viewer.acts_for(row.job_owner)
    return VerdictView(
        id=row.id,
        sample_sha256=row.sample_sha256,
        job_id=row.job_id if is_own else None,
        job_state=JobState(row.job_state) if is_own and row.job_state else None,
        score=row.score,
        status=VerdictStatus(row.status),
        status_override=row.status_override,
        is_contradicting=row.is_contradicting,
        is_manual=row.is_manual,
        comment=row.comment if row.has_words else None,
        coverage_percent=row.coverage_percent,
        tags=_shown_tags(row.tags, contributions),
        created_by=created_by,
        created_at=row.created_at,
        contributions=contributions,
    )


def _shown_tags(
    tags: Sequence[dict[str, Any]], contributions: Sequence[ContributionView]
) -> Sequence[dict[str, Any]]:
    """Return the tags of the verdict, without those that only hidden parts have."""
    if not any(contribution.is_hidden for contribution in contributions):
        return tags
    shown = {
        (tag["type"], tag["value"])
        for contribution in contributions
        for tag in contribution.tags
    }
    return [tag for tag in tags if (tag["type"], tag["value"]) in shown]
