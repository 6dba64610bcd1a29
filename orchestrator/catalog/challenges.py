"""
Challenges: proving that one has a sample without sending it again.

Whoever answers with the hash of a random part has the file. A token is bound to the
sample and the user, expires, and serves one submission; the upload of the whole file
gives a solved one.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, insert, select, update
from uuid_utils.compat import uuid7

from orchestrator.db.samples import get_sample_size
from orchestrator.db.tables import challenge
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import InvalidError, SampleTooSmallError
from orchestrator.store import SampleStore

#: Bytes. Below the first, a part of the file proves nothing.
SIZE_MIN = 1024
_LENGTH_MIN = 512
_LENGTH_MAX = 64 * 1024

#: How long an answer is waited for: slow clients read the file meanwhile.
LIFETIME = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Challenge:
    """Which bytes of the file to hash: *length* of them, from *offset* on."""

    id: UUID
    offset: int
    length: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A challenge and its answer, lowercase hex SHA-256 of the bytes asked for."""

    id: UUID
    sha256: str


def issue_challenge(
    tx: Transaction, store: SampleStore, sample_sha256: str, *, user_id: UUID
) -> Challenge:
    """
    Ask for the hash of a random part of a sample.

    Raises:
        NotFoundError: There is no such sample.
        SampleMissingError: Its bytes are gone: the whole file is needed.
        SampleTooSmallError: Send the whole file instead.
    """
    size = get_sample_size(tx, sample_sha256)
    if size < SIZE_MIN:
        raise SampleTooSmallError(
            f"samples below {SIZE_MIN} bytes are not challenged; upload the file and"
            " use the token of the answer",
            field="sha256",
        )
    longest = min(size, _LENGTH_MAX)
    length = _LENGTH_MIN + secrets.randbelow(longest - _LENGTH_MIN + 1)
    offset = secrets.randbelow(size - length + 1)
    asked = store.read_range(sample_sha256, offset=offset, length=length)
    answer = hashlib.sha256(asked).hexdigest()
    challenge_id = _add(tx, sample_sha256, user_id, (offset, length), answer)
    return Challenge(id=challenge_id, offset=offset, length=length)


def issue_solved(
    tx: Transaction, sample_sha256: str, size_bytes: int, *, user_id: UUID
) -> Token:
    """Return a solved token for whoever has just sent the whole file."""
    token_id = _add(tx, sample_sha256, user_id, (0, size_bytes), sample_sha256)
    return Token(id=token_id, sha256=sample_sha256)


def check_token(
    tx: Transaction, token: Token, sample_sha256: str, *, user_id: UUID
) -> UUID | None:
    """
    Lock a token and see whether it proves what it should.

    Returns:
        The submission that used it up, if one did.

    Raises:
        InvalidError: It is unknown, expired, another user's or another sample's, or the
            answer is wrong.
    """
    row = tx.connection.execute(
        select(challenge).where(challenge.c.id == token.id).with_for_update()
    ).first()
    if row is None or not _is_bound(row, sample_sha256, user_id):
        raise _refused("is not one of this user for this sample")
    if not hmac.compare_digest(row.answer, token.sha256):
        raise _refused("has the wrong answer: hash exactly the bytes asked for")
    used: UUID | None = row.submission_id
    if used is None and row.expires_at <= tx.now:
        raise _refused("has expired")
    return used


def use_token(tx: Transaction, token: Token, submission_id: UUID) -> None:
    """Use a token up for a submission of this transaction."""
    tx.connection.execute(
        update(challenge)
        .where(challenge.c.id == token.id)
        .values(submission_id=submission_id)
    )


def _add(
    tx: Transaction,
    sample_sha256: str,
    user_id: UUID,
    asked: tuple[int, int],
    answer: str,
) -> UUID:
    challenge_id = uuid7()
    offset, length = asked
    tx.connection.execute(
        insert(challenge).values(
            id=challenge_id,
            sample_sha256=sample_sha256,
            user_id=user_id,
            range_offset=offset,
            range_length=length,
            answer=answer,
            expires_at=tx.now + LIFETIME,
        )
    )
    return challenge_id


def _is_bound(row: Row[Any], sample_sha256: str, user_id: UUID) -> bool:
    return bool(row.sample_sha256 == sample_sha256 and row.user_id == user_id)


def _refused(why: str) -> InvalidError:
    return InvalidError(
        f"the token {why}; ask for a new challenge", field="challengeToken"
    )
