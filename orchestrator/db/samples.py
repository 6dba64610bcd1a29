"""
Samples and what kind of file they are, as rows. The bytes are the store's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, insert, select, text
from uuid_utils.compat import uuid7

from orchestrator.contracts.assignment import Classification
from orchestrator.db.poison import POISONED_VERSIONS, WorkerVersion, read_versions
from orchestrator.db.tables import classification, sample
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import NotFoundError
from orchestrator.domain.policy import Subject, Tlp
from orchestrator.domain.values import Decider


@dataclass(frozen=True, kw_only=True, slots=True)
class NewSample:
    """A sample row to be: digests in lowercase hex, and who brought it first."""

    sha256: str
    sha512: str
    sha1: str
    md5: str
    size_bytes: int
    created_by: UUID


def add_sample(tx: Transaction, new: NewSample) -> bool:
    """Insert a sample; ``False`` if it is here already, which changes nothing."""
    added = tx.connection.execute(
        text(
            "INSERT INTO sample (sha256, sha512, sha1, md5, size_bytes, created_by,"
            " created_at)"
            " VALUES (:sha256, :sha512, :sha1, :md5, :size, :user, :now)"
            " ON CONFLICT DO NOTHING RETURNING sha256"
        ),
        {
            "sha256": new.sha256,
            "sha512": new.sha512,
            "sha1": new.sha1,
            "md5": new.md5,
            "size": new.size_bytes,
            "user": new.created_by,
            "now": tx.now,
        },
    )
    return added.first() is not None


def add_classification(
    tx: Transaction,
    sha256: str,
    kind: Classification,
    *,
    version: str,
    decided_by: Decider,
    confidence: float,
) -> None:
    """
    Store what kind of file a sample is.

    Args:
        version: Of the classifier.
        decided_by: Who says so; ``confidence``: how sure, from 0 to 1.
    """
    tx.connection.execute(
        insert(classification).values(
            id=uuid7(),
            sample_sha256=sha256,
            version=version,
            decided_by=decided_by.value,
            confidence=confidence,
            **kind.model_dump(),
        )
    )


def get_sample_size(tx: Transaction, sha256: str) -> int:
    """
    Return the size of a sample in bytes.

    Raises:
        NotFoundError: There is no such sample.
    """
    size: int | None = tx.connection.execute(
        select(sample.c.size_bytes).where(sample.c.sha256 == sha256)
    ).scalar_one_or_none()
    if size is None:
        raise unknown_sample(sha256)
    return size


#: A sample, and the customer for whom it is analysed.
Wanted = tuple[str, UUID]


def find_subjects(
    tx: Transaction, wanted: Iterable[Wanted]
) -> dict[Wanted, tuple[Subject, set[WorkerVersion]]]:
    """
    Return samples as selection looks at them, and for whom each is poison; those that
    are not here are left out.

    What the customer said of one when it submitted it last holds for every job until it
    says something else.
    """
    each = list(dict.fromkeys(wanted))
    rows = tx.connection.execute(
        _SUBJECTS,
        {
            "sha256s": [sha256 for sha256, _ in each],
            "customers": [customer_id for _, customer_id in each],
        },
    )
    return {
        (row.sha256, row.customer_id): (_subject(row), read_versions(row.poisoned))
        for row in rows
    }


def _subject(row: Row[Any]) -> Subject:
    kind = read_classification(row)
    return Subject(
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        type=kind.type,
        super_type=kind.super_type,
        mime_type=kind.mime_type,
        tlp=Tlp(row.tlp or Tlp.AMBER),
        customer=str(row.customer_id),
        metadata=row.meta or {},
    )


def read_classification(row: Row[Any]) -> Classification:
    """Build the classification of a row that has its columns, maybe all null."""
    if row.type is None:
        return Classification()
    return Classification(
        type=row.type,
        super_type=row.super_type,
        platform=row.platform,
        arch=row.arch,
        mime_type=row.mime_type,
    )


def unknown_sample(sha256: str) -> NotFoundError:
    """Return the error of who asks for a sample that is not here."""
    return NotFoundError(
        f"there is no sample {sha256}; upload it first", field="sha256"
    )


_SUBJECTS = text(
    f"""
    SELECT s.sha256, o.customer_id, s.size_bytes,
           c.type, c.super_type, c.platform, c.arch, c.mime_type,
           u.tlp, u.meta, {POISONED_VERSIONS} AS poisoned
      FROM unnest(CAST(:sha256s AS text[]), CAST(:customers AS uuid[]))
           AS o(sha256, customer_id)
      JOIN sample s ON s.sha256 = o.sha256
      LEFT JOIN LATERAL (SELECT * FROM classification
                          WHERE sample_sha256 = s.sha256
                          ORDER BY created_at DESC LIMIT 1) c ON true
      LEFT JOIN LATERAL (SELECT * FROM submission
                          WHERE sample_sha256 = s.sha256
                            AND customer_id = o.customer_id
                          ORDER BY created_at DESC LIMIT 1) u ON true
    """
)
