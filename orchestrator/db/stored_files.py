"""
What attempts have put into the store: how much, and what of it nothing names any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from orchestrator.db.unit_of_work import Transaction


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFile:
    """
    A file of an attempt.

    ``sample_sha256``: of the attempt's own sample.
    """

    task_id: UUID
    attempt: int
    sha256: str
    size_bytes: int
    sample_sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """What an attempt has stored; the same bytes count once."""

    files: int
    total_bytes: int
    largest_bytes: int


def sum_up(tx: Transaction, task_id: UUID, attempt: int) -> Stored:
    """Return how many files an attempt has stored, and how large they are."""
    found = tx.connection.execute(
        text(
            "SELECT count(*) AS files, coalesce(sum(size_bytes), 0) AS total_bytes,"
            "       coalesce(max(size_bytes), 0) AS largest_bytes"
            "  FROM stored_file WHERE task_id = :task_id AND attempt = :attempt"
        ),
        {"task_id": task_id, "attempt": attempt},
    ).one()
    return Stored(
        files=found.files,
        total_bytes=int(found.total_bytes),
        largest_bytes=found.largest_bytes,
    )


def add(tx: Transaction, file: StoredFile, *, look_at: datetime) -> None:
    """Note a file that is about to be kept; again changes nothing."""
    tx.connection.execute(
        text(
            """
            INSERT INTO stored_file
                   (task_id, attempt, sha256, size_bytes, sample_sha256, look_at,
                    created_at)
            VALUES (:task_id, :attempt, :sha256, :size_bytes, :sample_sha256, :look_at,
                    :now)
            ON CONFLICT DO NOTHING
            """
        ),
        {
            "task_id": file.task_id,
            "attempt": file.attempt,
            "sha256": file.sha256,
            "size_bytes": file.size_bytes,
            "sample_sha256": file.sample_sha256,
            "look_at": look_at,
            "now": tx.now,
        },
    )


def look_again(tx: Transaction, *, due: datetime, at: datetime, limit: int) -> None:
    """Put off what is *due* and is named by something."""
    tx.connection.execute(_LOOK_AGAIN, {"due": due, "at": at, "limit": limit})


def delete_unnamed(
    tx: Transaction, *, due: datetime, limit: int
) -> tuple[int, list[str]]:
    """
    Delete the rows that are *due* and that nothing names.

    Returns:
        How many, and the SHA-256 of those whose bytes no other attempt has stored.
    """
    rows = tx.connection.execute(_DELETE, {"due": due, "limit": limit}).all()
    found: Sequence[str] = [row.sha256 for row in rows]
    alone = tx.connection.execute(_OF_NOBODY, {"found": list(found)})
    return len(rows), list(alone.scalars())


# By an analysis of any sample: the same file is carved out of many. Counted: asked for
# the first alone, PostgreSQL leaves the index and reads all of history.
_IS_NAMED = """
    (EXISTS (SELECT 1 FROM analysis a WHERE a.result_ref = f.sha256)
     OR (SELECT count(*) FROM analysis a
          WHERE a.files <> '[]'
            AND a.files @> jsonb_build_array(
                    jsonb_build_object('sha256', f.sha256))) > 0
     OR EXISTS (SELECT 1 FROM sample s WHERE s.sha256 = f.sha256)
     OR EXISTS (SELECT 1 FROM evidence e WHERE e.sha256 = f.sha256))
"""
_DUE = """
    SELECT f.ctid FROM stored_file f WHERE f.look_at <= :due
     ORDER BY f.look_at LIMIT :limit
"""
_LOOK_AGAIN = text(
    f"""
    UPDATE stored_file f SET look_at = :at
     WHERE f.ctid = ANY(ARRAY({_DUE})) AND {_IS_NAMED}
    """
)
_DELETE = text(
    f"""
    DELETE FROM stored_file f
     WHERE f.ctid = ANY(ARRAY({_DUE})) AND NOT {_IS_NAMED}
    RETURNING f.sha256
    """
)
_OF_NOBODY = text(
    """
    SELECT DISTINCT found FROM unnest(CAST(:found AS text[])) AS found
     WHERE NOT EXISTS (SELECT 1 FROM stored_file f WHERE f.sha256 = found)
    """
)
