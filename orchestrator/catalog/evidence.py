"""
Takes evidence in: files that belong to an analysis, kept beside the samples; and notes
who takes it out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.dialects.postgresql import insert
from uuid_utils.compat import uuid7

from orchestrator.db import audit
from orchestrator.db.audit import Action
from orchestrator.db.tables import evidence
from orchestrator.db.unit_of_work import Database, Transaction
from orchestrator.domain.values import Actor
from orchestrator.domain.viewer import Viewer
from orchestrator.queries.analyses import get_analysis
from orchestrator.queries.evidence import EvidenceView, get_evidence
from orchestrator.store import Digests, SampleStore


@dataclass(frozen=True, kw_only=True, slots=True)
class NewEvidence:
    """A file that is coming; ``is_internal``: not for customers' reports."""

    sample_sha256: str
    analysis_id: UUID
    file_name: str
    mime_type: str
    is_internal: bool
    is_potentially_malicious: bool


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
        view = get_evidence(
            tx, new.sample_sha256, new.analysis_id, evidence_id, viewer=viewer
        )
    return view, is_new


def note_download(
    tx: Transaction, view: EvidenceView, sample_sha256: str, *, actor: Actor
) -> None:
    """Write down that somebody takes a file out, before the first byte leaves."""
    detail = {"sample": sample_sha256, "fileName": view.file_name}
    audit.record(tx, actor, Action.EVIDENCE_DOWNLOAD, view.id, detail)


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
