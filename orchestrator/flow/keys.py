"""
API keys: issuing, listing, revoking, and recognising the one that a caller shows.

Owns the form of a key, ``assay_<8 hex>_<43 base64url>``. Which role may call what is
the API's to say.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from uuid_utils.compat import uuid7

from orchestrator.db import users
from orchestrator.db.unit_of_work import Transaction
from orchestrator.db.users import Key, NewKey, User
from orchestrator.domain.errors import AuthenticationError, InvalidError, NotFoundError
from orchestrator.domain.values import Role

#: Bytes. 256 random bits need neither salt nor stretching.
_SECRET_BYTES = 32
_PREFIX_BYTES = 4
_FORM = re.compile(r"assay_(?P<prefix>[0-9a-f]{8})_[A-Za-z0-9_-]{43}")
_HEADER = "Argus-API-Key"


@dataclass(frozen=True, kw_only=True, slots=True)
class IssuedKey:
    """A new key; ``secret`` is the whole of it and is shown this once."""

    prefix: str
    secret: str
    user: User
    expires_at: datetime | None


def create_key(
    tx: Transaction,
    *,
    user_name: str,
    role: Role,
    label: str = "",
    lifetime: timedelta | None = None,
) -> IssuedKey:
    """
    Issue a key; a user that is not there yet is added with *role*.

    Raises:
        InvalidError: The user is there with another role.
    """
    user = users.find_user(tx, user_name) or users.add_user(
        tx, user_id=uuid7(), name=user_name, role=role
    )
    if user.role is not role:
        raise InvalidError(
            f"user '{user_name}' has the role {user.role}, not {role};"
            " name another user, or leave the role as it is",
            field="role",
        )
    prefix = secrets.token_hex(_PREFIX_BYTES)
    secret = f"assay_{prefix}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    expires_at = tx.now + lifetime if lifetime is not None else None
    users.add_key(
        tx,
        NewKey(
            id=uuid7(),
            user_id=user.id,
            prefix=prefix,
            secret_hash=_hash(secret),
            label=label,
            expires_at=expires_at,
        ),
    )
    return IssuedKey(prefix=prefix, secret=secret, user=user, expires_at=expires_at)


def list_keys(tx: Transaction) -> list[Key]:
    """Return every key, oldest first, revoked and expired ones too."""
    return users.list_keys(tx)


def revoke_key(tx: Transaction, prefix: str) -> None:
    """
    End a key at once; a repeat changes nothing.

    Raises:
        NotFoundError: No key has this prefix.
    """
    if users.find_key(tx, prefix) is None:
        raise NotFoundError(f"no key has the prefix '{prefix}'", field="prefix")
    users.revoke_key(tx, prefix)


def authenticate(tx: Transaction, presented: str | None) -> Key:
    """
    Recognise the key that a caller shows.

    Raises:
        AuthenticationError: It is missing, malformed, unknown, revoked or expired; the
            message says which, and never repeats the key.
    """
    if not presented:
        raise AuthenticationError(f"no API key came; send it in the header {_HEADER}")
    form = _FORM.fullmatch(presented)
    if form is None:
        raise AuthenticationError(
            "the API key is malformed; a key looks like assay_<8 hex>_<43 characters>"
        )
    key = users.find_key(tx, form["prefix"])
    # The same answer for an unknown prefix and a wrong secret: nobody learns prefixes.
    if key is None or not hmac.compare_digest(key.secret_hash, _hash(presented)):
        raise AuthenticationError("the API key is unknown; ask for a new one")
    if key.revoked_at is not None:
        raise AuthenticationError("the API key has been revoked; ask for a new one")
    if key.expires_at is not None and key.expires_at <= tx.now:
        raise AuthenticationError("the API key has expired; ask for a new one")
    return key


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
