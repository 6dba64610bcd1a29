"""
Reading analyses: what workers, or people, found in a sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, literal, select, tuple_

from orchestrator.db.access import visible_findings
from orchestrator.db.bulk import one_of
from orchestrator.db.samples import get_sample_size
from orchestrator.db.tables import (
    analysis,
    customer,
    evidence,
    job,
    job_task,
    task_analysis,
)
from orchestrator.db.unit_of_work import Transaction
from orchestrator.db.users import (
    Customer,
    UserView,
    customer_columns,
    customer_view,
    find_users,
)
from orchestrator.domain.errors import NotFoundError, PermissionDeniedError
from orchestrator.domain.values import JobState
from orchestrator.domain.viewer import Viewer
from orchestrator.queries.lists import (
    LIST_MAX,
    Listing,
    Order,
    Page,
    Paging,
    fetch_page,
)

#: Newest first; the contract names no other order.
_LISTING = Listing(
    table=analysis,
    sorts={"createdTimestamp": analysis.c.created_at},
    default=Order(name="createdTimestamp", descending=True),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobLink:
    """A job, as an analysis names it."""

    id: UUID
    state: JobState


@dataclass(frozen=True, kw_only=True, slots=True)
class AnalysisView:
    """
    One analysis.

    ``tags`` [{type, value}], ``detections`` [{name, assessment}], ``files`` [{kind,
    sha256, size, …}] as they were reported. ``result_ref``: SHA-256 of the result in
    the store, when it was too large for a message. ``job``: that of the task which
    produced it, if any.
    """

    id: UUID
    sample_sha256: str
    customer: Customer
    created_by: UserView | None
    created_at: datetime
    job: JobLink | None
    agent_name: str
    agent_version: str
    score: int
    result: Any
    result_ref: str | None
    tags: Sequence[dict[str, Any]]
    detections: Sequence[dict[str, Any]]
    files: Sequence[dict[str, Any]]
    has_evidence: bool
    possible_detections: int | None
    status_override: str | None
    profile: str | None
    internet_access: bool
    tlp: str
    acl: tuple[UserView, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class AnalysisSummary:
    """``agents``: (name, version) of all who analysed a sample."""

    agents: tuple[tuple[str, str], ...]
    newest: AnalysisView | None


def list_analyses(
    tx: Transaction, sha256: str, paging: Paging, *, viewer: Viewer
) -> Page[AnalysisView]:
    """
    Return one page of a sample's analyses that the viewer may see, newest first.

    Raises:
        NotFoundError: There is no such sample.
    """
    get_sample_size(tx, sha256)
    of_sample = analysis.c.sample_sha256 == sha256
    seen = visible_findings(analysis, viewer)
    rows, total = fetch_page(tx, _LISTING, _analyses(), of_sample, seen, paging=paging)
    return Page(items=_views(tx, rows), total=total)


def get_analysis(
    tx: Transaction, sha256: str, analysis_id: UUID, *, viewer: Viewer
) -> AnalysisView:
    """
    Return one analysis.

    Raises:
        NotFoundError: The sample has no such analysis.
        PermissionDeniedError: It is not for the viewer.
    """
    seen = visible_findings(analysis, viewer).label("is_visible")
    rows = tx.connection.execute(
        _analyses()
        .add_columns(seen)
        .where(analysis.c.id == analysis_id, analysis.c.sample_sha256 == sha256)
    ).all()
    if not rows:
        raise NotFoundError(
            f"sample {sha256} has no analysis {analysis_id}", field="analysisID"
        )
    if not rows[0].is_visible:
        raise PermissionDeniedError(
            f"analysis {analysis_id} is not for this key", field="analysisID"
        )
    return _views(tx, rows)[0]


def find_previous(
    tx: Transaction, newer: AnalysisView, *, viewer: Viewer
) -> AnalysisView | None:
    """Return what the same worker said of the same sample before, if it did."""
    own = select(analysis.c.worker_id).where(analysis.c.id == newer.id)
    place = tuple_(literal(newer.created_at), literal(newer.id))
    rows = tx.connection.execute(
        _analyses()
        .where(
            analysis.c.sample_sha256 == newer.sample_sha256,
            analysis.c.worker_id == own.scalar_subquery(),
            tuple_(analysis.c.created_at, analysis.c.id) < place,
            visible_findings(analysis, viewer),
        )
        .order_by(analysis.c.created_at.desc(), analysis.c.id.desc())
        .limit(1)
    ).all()
    return _views(tx, rows)[0] if rows else None


def summarise_analyses(
    tx: Transaction, sha256: str, *, viewer: Viewer
) -> AnalysisSummary:
    """
    Return who analysed a sample, and the newest analysis.

    Raises:
        NotFoundError: There is no such sample.
    """
    newest = list_analyses(tx, sha256, Paging(limit=1), viewer=viewer)
    rows = tx.connection.execute(
        select(analysis.c.agent_name, analysis.c.agent_version)
        .where(analysis.c.sample_sha256 == sha256, visible_findings(analysis, viewer))
        .distinct()
        .order_by(analysis.c.agent_name, analysis.c.agent_version)
        .limit(LIST_MAX)
    )
    return AnalysisSummary(
        agents=tuple((row.agent_name, row.agent_version) for row in rows),
        newest=newest.items[0] if newest.items else None,
    )


def _analyses() -> Select[Any]:
    return select(analysis, *customer_columns()).join_from(analysis, customer)


def _views(tx: Transaction, rows: Sequence[Row[Any]]) -> tuple[AnalysisView, ...]:
    named = {user_id for row in rows for user_id in row.acl}
    users = find_users(tx, named | {row.created_by for row in rows})
    ids = [row.id for row in rows]
    jobs, with_evidence = _jobs_of(tx, ids), _with_evidence(tx, ids)
    return tuple(
        _view(row, users, jobs.get(row.id), has_evidence=row.id in with_evidence)
        for row in rows
    )


def _jobs_of(tx: Transaction, analysis_ids: Sequence[UUID]) -> dict[UUID, JobLink]:
    # An analysis that several tasks list belongs to the job that listed it first.
    rows = tx.connection.execute(
        select(task_analysis.c.analysis_id, job.c.id, job.c.state)
        .join_from(task_analysis, job_task)
        .join(job, job.c.id == job_task.c.job_id)
        .where(one_of(task_analysis.c.analysis_id, analysis_ids))
        .order_by(task_analysis.c.created_at.desc())
    )
    return {
        row.analysis_id: JobLink(id=row.id, state=JobState(row.state)) for row in rows
    }


def _with_evidence(tx: Transaction, analysis_ids: Sequence[UUID]) -> set[UUID]:
    found = select(evidence.c.analysis_id).where(
        one_of(evidence.c.analysis_id, analysis_ids)
    )
    return set(tx.connection.execute(found).scalars())


def _view(
    row: Row[Any],
    users: Mapping[UUID | None, UserView],
    of_job: JobLink | None,
    *,
    has_evidence: bool,
) -> AnalysisView:
    return AnalysisView(
        id=row.id,
        sample_sha256=row.sample_sha256,
        customer=customer_view(row),
        created_by=users.get(row.created_by),
        created_at=row.created_at,
        job=of_job,
        agent_name=row.agent_name,
        agent_version=row.agent_version,
        score=row.score,
        result=row.result,
        result_ref=row.result_ref,
        tags=row.tags,
        detections=row.detections,
        files=row.files,
        has_evidence=has_evidence
        or any(file["kind"] == "evidence" for file in row.files),
        possible_detections=row.possible_detections,
        status_override=row.status_override,
        profile=row.profile,
        internet_access=row.internet_access,
        tlp=row.tlp,
        acl=tuple(users[user_id] for user_id in row.acl),
    )
