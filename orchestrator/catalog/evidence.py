"""
Evidence: files that belong to an analysis, kept in the store beside the samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, select
from sqlalchemy.dialects.postgresql import insert
from uuid_utils.compat import uuid7

from orchestrator.db.tables import evidence
from orchestrator.db.unit_of_work import Database, Transaction
from orchestrator.db.users import UserView, find_users
from orchestrator.domain.errors import NotFoundError
from orchestrator.domain.viewer import Viewer
from orchestrator.queries.analyses import get_analysis
from orchestrator.queries.lists import Listing, Order, Page, Paging, fetch_page
from orchestrator.store import Digests, SampleStore

_LISTING = Listing(
    table=evidence,
    sorts={
        "createdTimestamp": evidence.c.created_at,
        "fileName": evidence.c.file_name,
        "mimeType": evidence.c.mime_type,
        "size": evidence.c.size_bytes,
    },
    default=Order(name="createdTimestamp", descending=True),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class NewEvidence:
    """A file that is coming; ``is_internal``: not for customers' reports."""

    sample_sha256: str
    analysis_id: UUID
    file_name: str
    mime_type: str
    is_internal: bool
    is_potentially_malicious: bool


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


def store_evidence(
    database: Database,
    store: SampleStore,
    chunks: Iterable[bytes],
    new: NewEvidence,
    *,
    limit_bytes: int,
    viewer: Viewer,
) -> tuple[EvidenceView, bool]:
    """
    Take a file in, chunk by chunk; the same file again changes nothing.

    Returns:
        The evidence, and whether this call added it.

    Raises:
        NotFoundError: The sample has no such analysis.
        PermissionDeniedError: The analysis is not for the viewer.
        SampleTooLargeError: It is above *limit_bytes*; nothing is kept.
    """
    with database.uow() as tx:
        # Before the bytes: who may not add anything leaves nothing.
        get_analysis(tx, new.sample_sha256, new.analysis_id, viewer=viewer)
    received = store.receive(chunks, limit_bytes=limit_bytes)
    try:
        store.keep(received)
    finally:
        store.discard(received)
    with database.uow() as tx:
        evidence_id, is_new = _add(tx, new, received.digests, viewer.user_id)
        return _get(tx, new.analysis_id, evidence_id), is_new


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
    of_analysis = evidence.c.analysis_id == analysis_id
    rows, total = fetch_page(tx, _LISTING, select(evidence), of_analysis, paging=paging)
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
        select(evidence).where(
            evidence.c.id == evidence_id, evidence.c.analysis_id == analysis_id
        )
    ).first()
    if row is None:
        raise NotFoundError(
            f"analysis {analysis_id} has no evidence {evidence_id}", field="evidence"
        )
    return _view(row, find_users(tx, {row.created_by}))


def _add(
    tx: Transaction, new: NewEvidence, digests: Digests, user_id: UUID
) -> tuple[UUID, bool]:
    added = tx.connection.execute(
        insert(evidence)
        .values(
            id=uuid7(),
            analysis_id=new.analysis_id,
            file_name=new.file_name,
            mime_type=new.mime_type,
            size_bytes=digests.size,
            sha256=digests.sha256,
            is_internal=new.is_internal,
            is_potentially_malicious=new.is_potentially_malicious,
            created_by=user_id,
        )
        .on_conflict_do_nothing()
        .returning(evidence.c.id)
    ).first()
    if added is not None:
        return added.id, True
    same: list[ColumnElement[bool]] = [
        evidence.c.analysis_id == new.analysis_id,
        evidence.c.file_name == new.file_name,
        evidence.c.sha256 == digests.sha256,
    ]
    found: UUID = tx.connection.execute(select(evidence.c.id).where(*same)).scalar_one()
    return found, False


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
