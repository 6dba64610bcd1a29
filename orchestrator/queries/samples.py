"""
Reading samples and what kind of file they are. The bytes are the store's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select
from sqlalchemy.dialects.postgresql import distinct_on

from orchestrator.db.access import visible_submissions
from orchestrator.db.bulk import one_of
from orchestrator.db.samples import get_sample_size, unknown_sample
from orchestrator.db.tables import classification, job, sample, submission
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.values import Decider
from orchestrator.domain.viewer import Viewer
from orchestrator.queries.lists import Listing, Order, Page, Paging, fetch_page
from orchestrator.queries.verdicts import VerdictView, find_verdicts

_CLASSIFICATIONS = Listing(
    table=classification,
    sorts={
        "createdTimestamp": classification.c.created_at,
        "version": classification.c.version,
        "type": classification.c.type,
        "superType": classification.c.super_type,
        "arch": classification.c.arch,
        "platform": classification.c.platform,
    },
    default=Order(name="createdTimestamp", descending=True),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassificationView:
    """What kind of file a sample is; ``confidence``: how sure that is, from 0 to 1."""

    type: str
    super_type: str
    arch: str
    platform: str
    version: str
    mime_type: str
    decided_by: Decider
    confidence: float
    meta: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """When a sample was first and last submitted, and observed, as far as one sees."""

    first_submitted_at: datetime
    last_submitted_at: datetime
    first_observed_at: datetime
    last_observed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleView:
    """
    A sample with its newest classification and its current verdict.

    ``seen``: ``None`` where the viewer sees no submission of it.
    """

    sha256: str
    sha512: str
    sha1: str
    md5: str
    size_bytes: int
    created_at: datetime
    seen: Seen | None
    classification: ClassificationView | None
    verdict: VerdictView | None


def get_sample(tx: Transaction, sha256: str, *, viewer: Viewer) -> SampleView:
    """
    Return one sample.

    Raises:
        NotFoundError: There is none.
    """
    found = find_samples(tx, [sha256], viewer=viewer).get(sha256)
    if found is None:
        raise unknown_sample(sha256)
    return found


def find_samples(
    tx: Transaction, sha256s: Sequence[str], *, viewer: Viewer
) -> dict[str, SampleView]:
    """Return the samples of these that are here; whether they may be seen is asked."""
    rows = tx.connection.execute(select(sample).where(one_of(sample.c.sha256, sha256s)))
    found = {row.sha256: row for row in rows}
    seen = _seen(tx, list(found), viewer)
    kinds = _newest_classifications(tx, list(found))
    current = [row.verdict_id for row in found.values() if row.verdict_id]
    verdicts = find_verdicts(tx, current, viewer=viewer) if current else {}
    return {
        sha256: SampleView(
            sha256=sha256,
            sha512=row.sha512,
            sha1=row.sha1,
            md5=row.md5,
            size_bytes=row.size_bytes,
            created_at=row.created_at,
            seen=seen.get(sha256),
            classification=kinds.get(sha256),
            verdict=verdicts.get(row.verdict_id),
        )
        for sha256, row in found.items()
    }


def list_classifications(
    tx: Transaction, sha256: str, paging: Paging
) -> Page[ClassificationView]:
    """
    Return one page of a sample's classifications.

    Raises:
        NotFoundError: There is no such sample.
        InvalidError: The order names an unknown field.
    """
    get_sample_size(tx, sha256)
    of_sample = classification.c.sample_sha256 == sha256
    rows, total = fetch_page(
        tx, _CLASSIFICATIONS, select(classification), of_sample, paging=paging
    )
    return Page(items=tuple(_classification(row) for row in rows), total=total)


def _seen(tx: Transaction, sha256s: Sequence[str], viewer: Viewer) -> dict[str, Seen]:
    rows = tx.connection.execute(
        select(
            submission.c.sample_sha256,
            func.min(submission.c.created_at).label("first_submitted_at"),
            func.max(submission.c.created_at).label("last_submitted_at"),
            func.min(submission.c.observed_at).label("first_observed_at"),
            func.max(submission.c.observed_at).label("last_observed_at"),
        )
        .where(one_of(submission.c.sample_sha256, sha256s), visible_submissions(viewer))
        .group_by(submission.c.sample_sha256)
    )
    return {
        row.sample_sha256: Seen(
            first_submitted_at=row.first_submitted_at,
            last_submitted_at=row.last_submitted_at,
            first_observed_at=row.first_observed_at,
            last_observed_at=row.last_observed_at,
        )
        for row in rows
    }


def find_newest_classification(
    tx: Transaction, sha256: str
) -> ClassificationView | None:
    """Return what a sample was last classified as."""
    return _newest_classifications(tx, [sha256]).get(sha256)


def find_classification_of_job(
    tx: Transaction, job_id: UUID
) -> ClassificationView | None:
    """Return what a job's sample was taken for when the job was created."""
    row = tx.connection.execute(
        select(classification)
        .join(job, job.c.sample_sha256 == classification.c.sample_sha256)
        .where(job.c.id == job_id, classification.c.created_at <= job.c.enqueued_at)
        .order_by(classification.c.created_at.desc())
        .limit(1)
    ).first()
    return None if row is None else _classification(row)


def _newest_classifications(
    tx: Transaction, sha256s: Sequence[str]
) -> dict[str, ClassificationView]:
    rows = tx.connection.execute(
        select(classification)
        .ext(distinct_on(classification.c.sample_sha256))
        .where(one_of(classification.c.sample_sha256, sha256s))
        .order_by(classification.c.sample_sha256, classification.c.created_at.desc())
    )
    return {row.sample_sha256: _classification(row) for row in rows}


def _classification(row: Row[Any]) -> ClassificationView:
    return ClassificationView(
        type=row.type,
        super_type=row.super_type,
        arch=row.arch,
        platform=row.platform,
        version=row.version,
        mime_type=row.mime_type,
        decided_by=Decider(row.decided_by),
        confidence=row.confidence,
        meta=row.meta,
        created_at=row.created_at,
    )
