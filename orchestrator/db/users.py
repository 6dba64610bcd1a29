"""
API users and their keys: finding, adding, revoking. It hashes no key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, insert, select, update

from orchestrator.db.tables import api_key, api_user, customer
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.values import Role

DEFAULT_CUSTOMER = "default"


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """Somebody who may speak to the API."""

    id: UUID
    name: str
    role: Role
    customer_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """A key of a user. Its secret is not here; only the hash of it is anywhere."""

    id: UUID
    prefix: str
    label: str
    user: User
    secret_hash: bytes
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class NewKey:
    """A key row to be."""

    id: UUID
    user_id: UUID
    prefix: str
    secret_hash: bytes
    label: str
    expires_at: datetime | None


def find_user(tx: Transaction, name: str) -> User | None:
    """Return the user of this name."""
    row = tx.connection.execute(
        select(
            api_user.c.id.label("user_id"),
            api_user.c.name,
            api_user.c.role.label("user_role"),
            api_user.c.customer_id,
        ).where(api_user.c.name == name)
    ).first()
    return _user(row) if row else None


def add_user(tx: Transaction, *, user_id: UUID, name: str, role: Role) -> User:
    """Insert a user of the default customer."""
    home = tx.connection.execute(
        select(customer.c.id).where(customer.c.short_name == DEFAULT_CUSTOMER)
    ).scalar_one()
    tx.connection.execute(
        insert(api_user).values(
            id=user_id, customer_id=home, name=name, role=role.value
        )
    )
    return User(id=user_id, name=name, role=role, customer_id=home)


def add_key(tx: Transaction, new: NewKey) -> None:
    """Insert a key."""
    tx.connection.execute(
        insert(api_key).values(
            id=new.id,
            user_id=new.user_id,
            prefix=new.prefix,
            secret_hash=new.secret_hash,
            label=new.label,
            expires_at=new.expires_at,
        )
    )


def find_key(tx: Transaction, prefix: str) -> Key | None:
    """Return the key of this prefix, revoked and expired ones too."""
    row = tx.connection.execute(_keys().where(api_key.c.prefix == prefix)).first()
    return _key(row) if row else None


def list_keys(tx: Transaction) -> list[Key]:
    """Return every key, oldest first, revoked and expired ones too."""
    rows = tx.connection.execute(_keys().order_by(api_key.c.created_at, api_key.c.id))
    return [_key(row) for row in rows]


def revoke_key(tx: Transaction, prefix: str) -> None:
    """Let a key never be accepted again; the first time stands."""
    tx.connection.execute(
        update(api_key)
        .where(api_key.c.prefix == prefix, api_key.c.revoked_at.is_(None))
        .values(revoked_at=tx.now)
    )


def _keys() -> Select[Any]:
    return select(
        api_key,
        api_user.c.name,
        api_user.c.role.label("user_role"),
        api_user.c.customer_id,
    ).join_from(api_key, api_user)


def _key(row: Row[Any]) -> Key:
    return Key(
        id=row.id,
        prefix=row.prefix,
        label=row.label,
        user=_user(row),
        secret_hash=row.secret_hash,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


def _user(row: Row[*tuple[Any, ...]]) -> User:
    return User(
        id=row.user_id,
        name=row.name,
        role=Role(row.user_role),
        customer_id=row.customer_id,
    )
