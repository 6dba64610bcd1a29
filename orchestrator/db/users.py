"""
Customers, API users and their keys: finding, adding, revoking. It hashes no key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Row, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from orchestrator.db.bulk import one_of
from orchestrator.db.tables import api_key, api_user, customer
from orchestrator.db.unit_of_work import Reader, Transaction
from orchestrator.domain.errors import InvalidError
from orchestrator.domain.values import Role

T = TypeVar("T")

DEFAULT_CUSTOMER = "default"


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """Somebody who may speak to the API."""

    id: UUID
    name: str
    role: Role
    customer_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyLimits:
    """
    How much less than its user a key may do; ``None`` is no limit.

    ``customer_ids``: for whom. ``networks``: from where, in CIDR notation.
    """

    role: Role | None = None
    customer_ids: tuple[UUID, ...] | None = None
    networks: tuple[str, ...] | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """A key of a user. Its secret is not here; only the hash of it is anywhere."""

    id: UUID
    prefix: str
    label: str
    user: User
    secret_hash: bytes
    limits: KeyLimits
    created_at: datetime
    revoked_at: datetime | None

    @property
    def role(self) -> Role:
        """What its bearer may do: the less of what the user and the key may."""
        own = self.limits.role
        return (
            own
            if own is not None and self.user.role.includes(own)
            else (self.user.role)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class NewKey:
    """A key row to be."""

    id: UUID
    user_id: UUID
    prefix: str
    secret_hash: bytes
    label: str
    limits: KeyLimits


@dataclass(frozen=True, kw_only=True, slots=True)
class Customer:
    """Somebody for whom samples are analysed."""

    id: UUID
    short_name: str
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class UserView:
    """Who did something."""

    id: UUID
    name: str
    customer: Customer


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


def add_user(
    tx: Transaction,
    *,
    user_id: UUID,
    name: str,
    role: Role,
    customer_name: str = DEFAULT_CUSTOMER,
) -> User:
    """
    Insert a user.

    Raises:
        InvalidError: There is no such customer.
    """
    home = tx.connection.execute(
        select(customer.c.id).where(customer.c.short_name == customer_name)
    ).scalar_one_or_none()
    if home is None:
        raise InvalidError(
            f"there is no customer '{customer_name}'; add it first", field="customer"
        )
    tx.connection.execute(
        insert(api_user).values(
            id=user_id, customer_id=home, name=name, role=role.value
        )
    )
    return User(id=user_id, name=name, role=role, customer_id=home)


def list_customers(tx: Transaction) -> list[Customer]:
    """Return every customer, by short name."""
    rows = tx.connection.execute(select(customer).order_by(customer.c.short_name))
    return [
        Customer(id=row.id, short_name=row.short_name, name=row.name) for row in rows
    ]


def get_customer(tx: Transaction, customer_id: UUID) -> Customer:
    """Return a customer that is there."""

    def read(tx: Transaction) -> Customer:
        columns = customer_columns()
        found = select(*columns).where(customer.c.id == customer_id)
        return customer_view(tx.connection.execute(found).one())

    return tx.kept(("customer", customer_id), read)


def add_customer(tx: Transaction, new: Customer) -> bool:
    """Insert a customer; ``False`` if its short name is taken."""
    statement = upsert(customer).values(
        id=new.id, short_name=new.short_name, name=new.name
    )
    added = statement.on_conflict_do_nothing().returning(customer.c.id)
    return tx.connection.execute(added).first() is not None


def add_key(tx: Transaction, new: NewKey) -> None:
    """Insert a key."""
    limits = new.limits
    tx.connection.execute(
        insert(api_key).values(
            id=new.id,
            user_id=new.user_id,
            prefix=new.prefix,
            secret_hash=new.secret_hash,
            label=new.label,
            role=limits.role.value if limits.role else None,
            customer_ids=limits.customer_ids,
            networks=limits.networks,
            expires_at=limits.expires_at,
        )
    )


def find_key(tx: Reader, prefix: str) -> Key | None:
    """Return the key of this prefix, revoked and expired ones too."""
    row = tx.connection.execute(_FIND_KEY, {"prefix": prefix}).first()
    return _key(row) if row else None


def list_keys(tx: Transaction) -> list[Key]:
    """Return every key, oldest first, revoked and expired ones too."""
    rows = tx.connection.execute(text(f"{_KEYS} ORDER BY k.created_at, k.id"))
    return [_key(row) for row in rows]


def revoke_key(tx: Transaction, prefix: str) -> bool:
    """Let a key never be accepted again; ``False`` if it was not before either."""
    revoked = tx.connection.execute(
        update(api_key)
        .where(api_key.c.prefix == prefix, api_key.c.revoked_at.is_(None))
        .values(revoked_at=tx.now)
        .returning(api_key.c.id)
    )
    return revoked.first() is not None


def public_number(key: UUID) -> int:
    """
    Return the number by which the contract, which wants one, knows a customer or user.

    Both halves of the id count: ids of one moment, or set by hand, differ in one.
    """
    high, low = divmod(key.int, 1 << 64)
    return (high ^ low) & ((1 << 63) - 1)


def get_customer_ids(tx: Transaction, names: Sequence[str]) -> list[UUID]:
    """
    Return the ids of customers given by short name, number or id.

    Raises:
        InvalidError: One of them is not there.
    """
    known = tx.connection.execute(select(customer.c.id, customer.c.short_name)).all()
    by_name = {row.short_name: row.id for row in known}
    by_name |= {str(row.id): row.id for row in known}
    by_name |= {str(public_number(row.id)): row.id for row in known}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise InvalidError(f"there is no customer '{unknown[0]}'", field="customer")
    return [by_name[name] for name in names]


def get_user_ids(tx: Transaction, names: Sequence[str]) -> list[UUID]:
    """
    Return the ids of users given by name, number or id; each once.

    Raises:
        InvalidError: One of them is not there.
    """
    if not names:
        return []
    known = tx.connection.execute(select(api_user.c.id, api_user.c.name)).all()
    by_name = {row.name: row.id for row in known}
    by_name |= {str(row.id): row.id for row in known}
    by_name |= {str(public_number(row.id)): row.id for row in known}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise InvalidError(f"there is no user '{unknown[0]}'", field="acl")
    return list(dict.fromkeys(by_name[name] for name in names))


def customer_columns() -> list[ColumnElement[Any]]:
    """Return the columns that :func:`customer_view` reads."""
    return [
        customer.c.id.label("owner_id"),
        customer.c.short_name.label("owner_short_name"),
        customer.c.name.label("owner_name"),
    ]


def customer_view(row: Row[Any]) -> Customer:
    """Build the customer of a row that has :func:`customer_columns`."""
    return Customer(
        id=row.owner_id,
        short_name=row.owner_short_name,
        name=row.owner_name,
    )


def find_users(tx: Transaction, ids: set[UUID | None]) -> dict[UUID | None, UserView]:
    """Return the users of these ids; those that are not there are left out."""
    wanted = [user_id for user_id in ids if user_id is not None]
    if not wanted:
        return {}
    rows = tx.connection.execute(
        select(api_user.c.id, api_user.c.name, *customer_columns())
        .join_from(api_user, customer)
        .where(one_of(api_user.c.id, wanted))
    )
    return {
        row.id: UserView(id=row.id, name=row.name, customer=customer_view(row))
        for row in rows
    }


_KEYS = (
    "SELECT k.*, u.name, u.role AS user_role, u.customer_id"
    " FROM api_key k JOIN api_user u ON u.id = k.user_id"
)
# Each request asks this first.
_FIND_KEY = text(f"{_KEYS} WHERE k.prefix = :prefix")


def _key(row: Row[Any]) -> Key:
    return Key(
        id=row.id,
        prefix=row.prefix,
        label=row.label,
        user=_user(row),
        secret_hash=row.secret_hash,
        limits=KeyLimits(
            role=Role(row.role) if row.role else None,
            customer_ids=_tuple(row.customer_ids),
            networks=_tuple(row.networks),
            expires_at=row.expires_at,
        ),
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )


def _tuple(values: Sequence[T] | None) -> tuple[T, ...] | None:
    return None if values is None else tuple(values)


def _user(row: Row[*tuple[Any, ...]]) -> User:
    return User(
        id=row.user_id,
        name=row.name,
        role=Role(row.user_role),
        customer_id=row.customer_id,
    )
