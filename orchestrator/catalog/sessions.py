"""
Who is logged in to the console: a session stands for the API key that opened it.

Owns the form of a session's token and how long one lasts. The key counts anew at each
request, and what its bearer may do is the API's to say.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.catalog import keys
from orchestrator.db import sessions
from orchestrator.db.unit_of_work import Reader, Transaction
from orchestrator.db.users import Key
from orchestrator.domain.errors import AuthenticationError, PermissionDeniedError

#: A shift, and somebody who stays longer.
SESSION_LASTS = timedelta(hours=12)

_TOKEN_BYTES = 32
#: Characters of a token of so many bytes: what is longer is none, and is not hashed.
_TOKEN_LENGTH = 43


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedSession:
    """A new session; ``token`` is shown this once, to the browser."""

    token: str
    lasts: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """A session that counts; ``csrf``: what its forms must send along."""

    key: Key
    csrf: str


def open_session(
    tx: Transaction, presented: str | None, *, address: str | None
) -> OpenedSession:
    """
    Log somebody in who shows an API key.

    Raises:
        AuthenticationError: As ``keys.authenticate``.
    """
    key = keys.authenticate(tx, presented, address=address)
    expires_at = tx.now + SESSION_LASTS
    if key.limits.expires_at is not None:
        expires_at = min(expires_at, key.limits.expires_at)
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    sessions.add_session(
        tx,
        _hash(token),
        key_id=key.id,
        csrf=secrets.token_urlsafe(_TOKEN_BYTES),
        expires_at=expires_at,
    )
    return OpenedSession(token=token, lasts=expires_at - tx.now)


def recognise(tx: Reader, token: str | None, *, address: str | None) -> Session:
    """
    Return the session of a browser's token.

    Raises:
        AuthenticationError: There is none, it is over, or its key does not count any
            more, or not from there.
    """
    found = None
    if token is not None and len(token) == _TOKEN_LENGTH:
        found = sessions.find_session(tx, _hash(token))
    if found is None or found.expires_at <= tx.now:
        raise AuthenticationError("you are not logged in; log in with an API key")
    key = keys.find_valid_key(tx, found.key_prefix, address=address)
    return Session(key=key, csrf=found.csrf)


def close_session(tx: Transaction, token: str) -> None:
    """Log somebody out; again changes nothing."""
    sessions.delete_session(tx, _hash(token))


def check_form(session: Session, sent: str | None) -> None:
    """
    Refuse a form that did not come from a page of this session.

    Raises:
        PermissionDeniedError: It came from elsewhere, or from an earlier session.
    """
    if not hmac.compare_digest((sent or "").encode(), session.csrf.encode()):
        raise PermissionDeniedError(
            "the form is not of this session; open the page again, and repeat it there"
        )


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
