"""
Challenges: proving that one has a sample without sending it again.

Whoever answers with the hash of a random part has the file. A token is bound to the
sample and the user, expires, and serves one submission; the upload of the whole file
gives a solved one.

Guessing leads nowhere: a user has one challenge of a sample at a time, and asking again
gives the same; three wrong answers end it; and the wrong ones are counted over all of
them. Whoever is not challenged can still send the file.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, func, insert, select, text, update
from uuid_utils.compat import uuid7

from orchestrator.catalog.ranges import SIZE_MIN, Part, find_part
from orchestrator.db.samples import get_sample_size
from orchestrator.db.tables import challenge, wrong_answer
from orchestrator.db.unit_of_work import Database, Transaction
from orchestrator.domain.errors import InvalidError, WholeSampleNeededError
from orchestrator.store import SampleStore

#: How long an answer is waited for: slow clients read the file meanwhile.
LIFETIME = timedelta(hours=1)

#: Answers to one challenge. Who has the file needs one; a wrong slice is mended by the
#: second.
TRIES = 3
#: After the first challenge that was used up so, and after the second. After the third
#: there is no other for as long as wrong answers are remembered.
PAUSES = (timedelta(minutes=1), timedelta(minutes=10))
REMEMBERED = timedelta(days=30)

#: Of one user, over all samples: so many that no client has, so few that no table is
#: filled by asking.
OPEN_MAX = 1000
#: Of one user and sample: as many uploads at once give a token each.
SOLVED_MAX = 16


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
    database: Database, store: SampleStore, sample_sha256: str, *, user_id: UUID
) -> Challenge:
    """
    Ask for the hash of a random part of a sample; again, for that of the same one.

    Raises:
        NotFoundError: There is no such sample.
        SampleMissingError: Its bytes are gone: the whole file is needed.
        WholeSampleNeededError: No part of it proves anything, or the user has answered
            wrongly too often.
    """
    with database.uow() as tx:
        size = get_sample_size(tx, sample_sha256)
        found = _find_open(tx, sample_sha256, user_id)
        if found is not None:
            return found
        _require_no_pause(tx, sample_sha256, user_id)
        _require_few(tx, user_id)
    # A store may be slow: no transaction waits for it.
    part = _find_part(store, sample_sha256, size)
    with database.uow() as tx:
        added = _add_challenge(tx, sample_sha256, user_id, part)
        found = added or _find_open(tx, sample_sha256, user_id)
    # Somebody else's of this moment, which was used in the next.
    return found or issue_challenge(database, store, sample_sha256, user_id=user_id)


def issue_solved(
    tx: Transaction, sample_sha256: str, size_bytes: int, *, user_id: UUID
) -> Token:
    """Return a solved token for whoever has just sent the whole file."""
    token_id = uuid7()
    tx.connection.execute(
        insert(challenge).values(
            id=token_id,
            sample_sha256=sample_sha256,
            user_id=user_id,
            range_offset=0,
            range_length=size_bytes,
            answer=sample_sha256,
            solved=True,
            expires_at=tx.now + LIFETIME,
        )
    )
    named = {"user": user_id, "sample": sample_sha256}
    tx.connection.execute(_DROP_SOLVED, {**named, "kept": SOLVED_MAX})
    _forget_wrong_answers(tx, sample_sha256, user_id)
    return Token(id=token_id, sha256=sample_sha256)


def count_answer(
    database: Database, token: Token, sample_sha256: str, *, user_id: UUID
) -> None:
    """
    Count an answer that is wrong, in a transaction of its own: it outlives the refusal.

    Raises:
        InvalidError: It is wrong; the message says what is left.
    """
    with database.uow() as tx:
        row = _find_for_update(tx, token.id)
        if row is None or row.solved or not _is_bound(row, sample_sha256, user_id):
            return
        if row.submission_id is not None or row.expires_at <= tx.now:
            return
        if hmac.compare_digest(row.answer, token.sha256):
            return
        left = _count_wrong(tx, row)
    if left:
        raise _refused(
            "has the wrong answer: hash exactly the bytes asked for", f"tries: {left}"
        )
    raise _refused("has had too many wrong answers", "upload the file instead")


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
    row = _find_for_update(tx, token.id)
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
    used = tx.connection.execute(
        update(challenge)
        .where(challenge.c.id == token.id)
        .values(submission_id=submission_id)
        .returning(challenge.c.sample_sha256, challenge.c.user_id)
    ).one()
    _forget_wrong_answers(tx, used.sample_sha256, used.user_id)


def paused_until(wrong: int, last_at: datetime) -> datetime:
    """
    Return until when a user with so many wrong answers is not challenged again.

    Args:
        wrong: For this sample, over all challenges.
        last_at: When the last one came.
    """
    used_up = wrong // TRIES
    if used_up > len(PAUSES):
        return last_at + REMEMBERED
    return last_at + PAUSES[used_up - 1] if used_up else last_at


def _find_part(store: SampleStore, sample_sha256: str, size: int) -> Part:
    part = find_part(
        size,
        read=lambda offset, length: store.read_range(
            sample_sha256, offset=offset, length=length
        ),
        below=secrets.randbelow,
    )
    if part is not None:
        return part
    why = f"is below {SIZE_MIN} bytes" if size < SIZE_MIN else "could be guessed"
    raise _whole_needed(f"the sample {why}, so that no part of it proves anything")


def _find_open(tx: Transaction, sample_sha256: str, user_id: UUID) -> Challenge | None:
    row = tx.connection.execute(
        select(challenge).where(
            challenge.c.user_id == user_id,
            challenge.c.sample_sha256 == sample_sha256,
            challenge.c.submission_id.is_(None),
            ~challenge.c.solved,
            challenge.c.expires_at > tx.now,
        )
    ).first()
    if row is None:
        return None
    return Challenge(id=row.id, offset=row.range_offset, length=row.range_length)


def _add_challenge(
    tx: Transaction, sample_sha256: str, user_id: UUID, part: Part
) -> Challenge | None:
    """Add one, in the place of one that has expired; ``None`` if one is open."""
    new = Challenge(id=uuid7(), offset=part.offset, length=len(part.content))
    added = tx.connection.execute(
        _ADD_CHALLENGE,
        {
            "id": new.id,
            "sample": sample_sha256,
            "user": user_id,
            "offset": new.offset,
            "length": new.length,
            "answer": hashlib.sha256(part.content).hexdigest(),
            "expires_at": tx.now + LIFETIME,
            "now": tx.now,
        },
    )
    return new if added.first() is not None else None


def _require_no_pause(tx: Transaction, sample_sha256: str, user_id: UUID) -> None:
    row = tx.connection.execute(
        select(wrong_answer).where(
            wrong_answer.c.user_id == user_id,
            wrong_answer.c.sample_sha256 == sample_sha256,
        )
    ).first()
    if row is None:
        return
    until = paused_until(row.wrong, row.last_at)
    if tx.now < until:
        raise _whole_needed(
            f"{row.wrong} wrong answers; there is no challenge of this sample before"
            f" {until:%Y-%m-%dT%H:%M:%SZ}"
        )


def _require_few(tx: Transaction, user_id: UUID) -> None:
    waiting = (
        select(challenge.c.id)
        .where(
            challenge.c.user_id == user_id,
            challenge.c.submission_id.is_(None),
            ~challenge.c.solved,
            challenge.c.expires_at > tx.now,
        )
        .limit(OPEN_MAX)
    )
    counted = select(func.count()).select_from(waiting.subquery())
    if tx.connection.execute(counted).scalar_one() >= OPEN_MAX:
        raise _whole_needed(f"{OPEN_MAX} challenges wait for an answer; answer some")


def _count_wrong(tx: Transaction, row: Row[Any]) -> int:
    """Count a wrong answer to a locked challenge; return how many more it may get."""
    total: int = tx.connection.execute(
        _COUNT_WRONG,
        {
            "user": row.user_id,
            "sample": row.sample_sha256,
            "now": tx.now,
            "since": tx.now - REMEMBERED,
        },
    ).scalar_one()
    of_all = TRIES * (len(PAUSES) + 1) - total
    left: int = max(0, min(TRIES - row.wrong - 1, of_all))
    if left:
        statement = update(challenge).values(wrong=challenge.c.wrong + 1)
        tx.connection.execute(statement.where(challenge.c.id == row.id))
    else:
        tx.connection.execute(delete(challenge).where(challenge.c.id == row.id))
    return left


def _forget_wrong_answers(tx: Transaction, sample_sha256: str, user_id: UUID) -> None:
    # Whoever has proved to have the sample was not guessing.
    tx.connection.execute(
        delete(wrong_answer).where(
            wrong_answer.c.user_id == user_id,
            wrong_answer.c.sample_sha256 == sample_sha256,
        )
    )


def _find_for_update(tx: Transaction, token_id: UUID) -> Row[Any] | None:
    return tx.connection.execute(
        select(challenge).where(challenge.c.id == token_id).with_for_update()
    ).first()


def _is_bound(row: Row[Any], sample_sha256: str, user_id: UUID) -> bool:
    return bool(row.sample_sha256 == sample_sha256 and row.user_id == user_id)


def _refused(why: str, remedy: str = "ask for a new challenge") -> InvalidError:
    return InvalidError(f"the token {why}; {remedy}", field="challengeToken")


def _whole_needed(why: str) -> WholeSampleNeededError:
    return WholeSampleNeededError(
        f"{why}; upload the file and use the token of the answer", field="sha256"
    )


_ADD_CHALLENGE = text(
    """
    INSERT INTO challenge (id, sample_sha256, user_id, range_offset, range_length,
                           answer, expires_at)
    VALUES (:id, :sample, :user, :offset, :length, :answer, :expires_at)
    ON CONFLICT (user_id, sample_sha256) WHERE submission_id IS NULL AND NOT solved
    DO UPDATE SET id = excluded.id, range_offset = excluded.range_offset,
                  range_length = excluded.range_length, answer = excluded.answer,
                  expires_at = excluded.expires_at, wrong = 0
     WHERE challenge.expires_at <= :now
    RETURNING id
    """
)
_DROP_SOLVED = text(
    """
    DELETE FROM challenge WHERE id = ANY(ARRAY(
        SELECT id FROM challenge
         WHERE user_id = :user AND sample_sha256 = :sample
           AND submission_id IS NULL AND solved
         ORDER BY id DESC OFFSET :kept))
    """
)
_COUNT_WRONG = text(
    """
    INSERT INTO wrong_answer (user_id, sample_sha256, wrong, last_at)
    VALUES (:user, :sample, 1, :now)
    ON CONFLICT (user_id, sample_sha256) DO UPDATE SET
           wrong = CASE WHEN wrong_answer.last_at < :since THEN 1
                        ELSE wrong_answer.wrong + 1 END,
           last_at = excluded.last_at
    RETURNING wrong
    """
)
