"""
Reading the files of an analysis: what people added, and what its worker reported.

Their bytes are the store's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Row,
    Subquery,
    Text,
    cast,
    column,
    false,
    func,
    null,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

from orchestrator.db.tables import analysis, evidence
from orchestrator.db.unit_of_work import Transaction
from orchestrator.db.users import UserView, find_users
from orchestrator.domain.errors import NotFoundError
from orchestrator.domain.viewer import Viewer
from orchestrator.queries.analyses import get_analysis
from orchestrator.queries.lists import Listing, Order, Page, Paging, fetch_page


def _files() -> Subquery:
    """Evidence of either kind, as rows of one table."""
    entry = (
        func.jsonb_array_elements(analysis.c.files)
        .table_valued(
            column("value", JSONB),
            with_ordinality="number",
            name="entry",
            joins_implicitly=True,
        )
        .render_derived()
    )
    value = entry.c.value
    # Reported once and never changed, so that its place gives it an ID that stays.
    place = func.concat(cast(analysis.c.id, Text), ":", entry.c.number)
    reported = select(
        cast(func.md5(place), PG_UUID(as_uuid=True)).label("id"),
        analysis.c.id.label("analysis_id"),
        func.coalesce(value["file_name"].astext, value["sha256"].astext).label(
            "file_name"
        ),
        value["mime_type"].astext.label("mime_type"),
        cast(value["size"].astext, BigInteger).label("size_bytes"),
        value["sha256"].astext.label("sha256"),
        false().label("is_internal"),
        # It was taken out of a sample.
        true().label("is_potentially_malicious"),
        cast(null(), PG_UUID(as_uuid=True)).label("created_by"),
        analysis.c.created_at,
    ).where(value["kind"].astext == "evidence")
    names = reported.selected_columns.keys()
    added = select(*(evidence.c[name] for name in names))
    return union_all(added, reported).subquery("files")


_FILES = _files()
_LISTING = Listing(
    table=_FILES,
    sorts={
        "createdTimestamp": _FILES.c.created_at,
        "fileName": _FILES.c.file_name,
        "mimeType": _FILES.c.mime_type,
        "size": _FILES.c.size_bytes,
    },
    default=Order(name="createdTimestamp", descending=True),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvidenceView:
    """A file of an analysis; ``sha256`` names its bytes in the store."""

    id: UUID
    file_name: str
    mime_type: str
    size_bytes: int
    sha256: str
    is_internal: bool
    is_potentially_malicious: bool
    created_by: UserView | None
    created_at: datetime


def list_evidence(
    tx: Transaction, sha256: str, analysis_id: UUID, paging: Paging, *, viewer: Viewer
) -> Page[EvidenceView]:
    """
    Return one page of the files of an analysis, newest first.

    Raises:
        NotFoundError: The sample has no such analysis.
        PermissionDeniedError: The analysis is not for the viewer.
        InvalidError: The order names an unknown field.
    """
    get_analysis(tx, sha256, analysis_id, viewer=viewer)
    of_analysis = _FILES.c.analysis_id == analysis_id
    rows, total = fetch_page(tx, _LISTING, select(_FILES), of_analysis, paging=paging)
    users = find_users(tx, {row.created_by for row in rows})
    return Page(items=tuple(_view(row, users) for row in rows), total=total)


def get_evidence(
    tx: Transaction,
    sha256: str,
    analysis_id: UUID,
    evidence_id: UUID,
    *,
    viewer: Viewer,
) -> EvidenceView:
    """
    Return one file of an analysis.

    Raises:
        NotFoundError: The sample has no such analysis, or that no such file.
        PermissionDeniedError: The analysis is not for the viewer.
    """
    get_analysis(tx, sha256, analysis_id, viewer=viewer)
    return _get(tx, analysis_id, evidence_id)


def _get(tx: Transaction, analysis_id: UUID, evidence_id: UUID) -> EvidenceView:
    row = tx.connection.execute(
        select(_FILES).where(
            _FILES.c.id == evidence_id, _FILES.c.analysis_id == analysis_id
        )
    ).first()
    if row is None:
        raise NotFoundError(
            f"analysis {analysis_id} has no evidence {evidence_id}", field="evidence"
        )
    return _view(row, find_users(tx, {row.created_by}))


def _view(row: Row[Any], users: Mapping[UUID | None, UserView]) -> EvidenceView:
    return EvidenceView(
        id=row.id,
        file_name=row.file_name,
        mime_type=row.mime_type,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        is_internal=row.is_internal,
        is_potentially_malicious=row.is_potentially_malicious,
        created_by=users.get(row.created_by),
        created_at=row.created_at,
    )
