"""
Sessions of the console: adding, finding, removing. It hashes no token and decides not
whether the key of one still counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, insert, text

from orchestrator.db.tables import console_session
from orchestrator.db.unit_of_work import Reader, Transaction


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredSession:
    """A session; ``key_prefix``: of the key with which somebody logged in."""

    key_prefix: str
    csrf: str
    expires_at: datetime


def add_session(
    tx: Transaction,
    token_hash: bytes,
    *,
    key_id: UUID,
    csrf: str,
    expires_at: datetime,
) -> None:
    """Insert a session."""
    tx.connection.execute(
        insert(console_session).values(
            token_hash=token_hash, key_id=key_id, csrf=csrf, expires_at=expires_at
        )
    )


def find_session(tx: Reader, token_hash: bytes) -> StoredSession | None:
    """Return the session of this token, one that is over too."""
    row = tx.connection.execute(_FIND, {"token_hash": token_hash}).first()
    if row is None:
        return None
    return StoredSession(
        key_prefix=row.prefix, csrf=row.csrf, expires_at=row.expires_at
    )


def delete_session(tx: Transaction, token_hash: bytes) -> None:
    """Remove a session; one that is not there is fine."""
    of_token = console_session.c.token_hash == token_hash
    tx.connection.execute(delete(console_session).where(of_token))


# Each page asks this first.
_FIND = text(
    "SELECT k.prefix, s.csrf, s.expires_at"
    " FROM console_session s JOIN api_key k ON k.id = s.key_id"
    " WHERE s.token_hash = :token_hash"
)
