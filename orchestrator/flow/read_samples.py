"""
Reading samples and what kind of file they are. The bytes are the store's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select

from orchestrator.db.tables import classification, job, sample
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import NotFoundError
from orchestrator.flow.read import Listing, Order, Page, Paging, fetch_page
from orchestrator.flow.read_verdicts import VerdictView, find_verdict

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
    """What kind of file a sample is."""

    type: str
    super_type: str
    arch: str
    platform: str
    version: str
    mime_type: str
    meta: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleView:
    """
    A sample with its newest classification and its current verdict.

    ``first_seen_at`` and ``last_seen_at``: its first and its newest job.
    """

    sha256: str
    sha512: str
    sha1: str
    md5: str
    size_bytes: int
    created_at: datetime
    first_seen_at: datetime | None
    last_seen_at: datetime | None
    classification: ClassificationView | None
    verdict: VerdictView | None


def get_sample(tx: Transaction, sha256: str) -> SampleView:
    """
    Return one sample.

    Raises:
        NotFoundError: There is none.
    """
    row = tx.connection.execute(select(sample).where(sample.c.sha256 == sha256)).first()
    if row is None:
        raise _unknown(sha256)
    seen = tx.connection.execute(
        select(
            func.min(job.c.enqueued_at).label("first_at"),
            func.max(job.c.enqueued_at).label("last_at"),
        ).where(job.c.sample_sha256 == sha256)
    ).one()
    return SampleView(
        sha256=row.sha256,
        sha512=row.sha512,
        sha1=row.sha1,
        md5=row.md5,
        size_bytes=row.size_bytes,
        created_at=row.created_at,
        first_seen_at=seen.first_at,
        last_seen_at=seen.last_at,
        classification=_newest_classification(tx, sha256),
        verdict=find_verdict(tx, row.verdict_id) if row.verdict_id else None,
    )


def require_sample(tx: Transaction, sha256: str) -> int:
    """
    Return the size of a sample in bytes.

    Raises:
        NotFoundError: There is no such sample.
    """
    size: int | None = tx.connection.execute(
        select(sample.c.size_bytes).where(sample.c.sha256 == sha256)
    ).scalar_one_or_none()
    if size is None:
        raise _unknown(sha256)
    return size


def list_classifications(
    tx: Transaction, sha256: str, paging: Paging
) -> Page[ClassificationView]:
    """
    Return one page of a sample's classifications.

    Raises:
        NotFoundError: There is no such sample.
        InvalidError: The order names an unknown field.
    """
    require_sample(tx, sha256)
    of_sample = classification.c.sample_sha256 == sha256
    rows, total = fetch_page(
        tx, _CLASSIFICATIONS, select(classification), of_sample, paging=paging
    )
    return Page(items=tuple(_classification(row) for row in rows), total=total)


def _newest_classification(tx: Transaction, sha256: str) -> ClassificationView | None:
    row = tx.connection.execute(
        select(classification)
        .where(classification.c.sample_sha256 == sha256)
        .order_by(classification.c.created_at.desc())
        .limit(1)
    ).first()
    return _classification(row) if row else None


def _classification(row: Row[Any]) -> ClassificationView:
    return ClassificationView(
        type=row.type,
        super_type=row.super_type,
        arch=row.arch,
        platform=row.platform,
        version=row.version,
        mime_type=row.mime_type,
        meta=row.meta,
        created_at=row.created_at,
    )


def _unknown(sha256: str) -> NotFoundError:
    return NotFoundError(
        f"there is no sample {sha256}; upload it first", field="sha256"
    )
