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
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network

from uuid_utils.compat import uuid7

from orchestrator.db import audit, users
from orchestrator.db.audit import Action
from orchestrator.db.unit_of_work import Reader, Transaction
from orchestrator.db.users import (
    Customer,
    Key,
    KeyLimits,
    NewKey,
    User,
    get_customer_ids,
)
from orchestrator.domain.errors import (
    AuthenticationError,
    ConflictError,
    InvalidError,
    NotFoundError,
)
from orchestrator.domain.values import Actor, Role
from orchestrator.domain.viewer import Viewer

#: Bytes. 256 random bits need neither salt nor stretching.
_SECRET_BYTES = 32
_PREFIX_BYTES = 4
_FORM = re.compile(r"assay_(?P<prefix>[0-9a-f]{8})_[A-Za-z0-9_-]{43}")
_HEADER = "Argus-API-Key"
#: Characters. Names are for people, who read them in a line.
_NAME_MAX = 255
_CUSTOMER_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class IssuedKey:
    """A new key; ``secret`` is the whole of it and is shown this once."""

    prefix: str
    secret: str
    user: User
    expires_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyOrder:
    """
    What key is asked for.

    ``role`` and ``customer``: the user's, who is added with them if not there yet.
    ``key_role``, ``customers`` (short names, numbers or ids), ``networks`` (CIDR) and
    ``lifetime`` make the key less than its user; ``None`` is no limit.
    """

    user_name: str
    role: Role
    customer: str = users.DEFAULT_CUSTOMER
    label: str = ""
    key_role: Role | None = None
    customers: Sequence[str] | None = None
    networks: Sequence[str] | None = None
    lifetime: timedelta | None = None


def create_key(tx: Transaction, order: KeyOrder, *, actor: Actor) -> IssuedKey:
    """
    Issue a key.

    Raises:
        InvalidError: The user's name is not valid, or is there with another role or
            customer, or a limit is not valid: a customer unknown, a network malformed,
            a role above the user's.
    """
    _check_name(order.user_name, "user")
    _check_text(order.label, "label")
    user = _ensure_user(tx, order)
    limits = _limits(tx, order)
    prefix = secrets.token_hex(_PREFIX_BYTES)
    secret = f"assay_{prefix}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    users.add_key(
        tx,
        NewKey(
            id=uuid7(),
            user_id=user.id,
            prefix=prefix,
            secret_hash=_hash(secret),
            label=order.label,
            limits=limits,
        ),
    )
    audit.record(tx, actor, Action.KEY_CREATE, prefix, _described(order, limits))
    return IssuedKey(
        prefix=prefix, secret=secret, user=user, expires_at=limits.expires_at
    )


def add_customer(
    tx: Transaction, short_name: str, name: str, *, actor: Actor
) -> Customer:
    """
    Add a customer.

    Raises:
        ConflictError: The short name is taken.
        InvalidError: The short name, or the name, is not valid.
    """
    if not _CUSTOMER_NAME.fullmatch(short_name):
        raise InvalidError(
            f"'{short_name}' is no short name; use letters, digits, '_', '-' and '.'",
            field="shortName",
        )
    _check_name(name, "name")
    new = Customer(id=uuid7(), short_name=short_name, name=name)
    if not users.add_customer(tx, new):
        raise ConflictError(
            f"there is a customer '{short_name}' already", field="shortName"
        )
    audit.record(tx, actor, Action.CUSTOMER_ADD, short_name, {"name": name})
    return new


def list_customers(tx: Transaction) -> list[Customer]:
    """Return every customer, by short name."""
    return users.list_customers(tx)


def list_keys(tx: Transaction) -> list[Key]:
    """Return every key, oldest first, revoked and expired ones too."""
    return users.list_keys(tx)


def revoke_key(tx: Transaction, prefix: str, *, actor: Actor) -> None:
    """
    End a key at once; a repeat changes nothing.

    Raises:
        NotFoundError: No key has this prefix.
    """
    found = users.find_key(tx, prefix)
    if found is None:
        raise NotFoundError(f"no key has the prefix '{prefix}'", field="prefix")
    if users.revoke_key(tx, prefix):
        audit.record(tx, actor, Action.KEY_REVOKE, prefix, {"user": found.user.name})


def authenticate(tx: Reader, presented: str | None, *, address: str | None) -> Key:
    """
    Recognise the key that a caller shows.

    Args:
        address: The IP address that the caller comes from, where it is known.

    Raises:
        AuthenticationError: It is missing, malformed, unknown, revoked, expired or
            not valid from there; the message says which, and never repeats the
            key.
    """
    if not presented:
        raise AuthenticationError(f"no API key came; send it in the header {_HEADER}")
    form = _FORM.fullmatch(presented)
    if form is None:
        raise AuthenticationError(
            "the API key is malformed; a key looks like assay_<8 hex>_<43 characters>",
            reason="malformed",
        )
    key = users.find_key(tx, form["prefix"])
    # The same answer for an unknown prefix and a wrong secret: nobody learns prefixes.
    if key is None or not hmac.compare_digest(key.secret_hash, _hash(presented)):
        raise AuthenticationError(
            "the API key is unknown; ask for a new one",
            reason="unknown" if key is None else "wrong secret",
            prefix=None if key is None else key.prefix,
        )
    _check_key(tx, key, address=address)
    return key


def find_valid_key(tx: Reader, prefix: str, *, address: str | None) -> Key:
    """
    Return the key of this prefix, which somebody has shown before.

    Raises:
        AuthenticationError: It is revoked, expired or not valid from there.
    """
    key = users.find_key(tx, prefix)
    if key is None:
        raise AuthenticationError("the API key is gone; ask for a new one")
    _check_key(tx, key, address=address)
    return key


def _check_key(tx: Reader, key: Key, *, address: str | None) -> None:
    limits = key.limits
    if key.revoked_at is not None:
        text, reason = "has been revoked; ask for a new one", "revoked"
    elif limits.expires_at is not None and limits.expires_at <= tx.now:
        text, reason = "has expired; ask for a new one", "expired"
    elif limits.networks is not None and not _is_within(address, limits.networks):
        text, reason = f"is not valid from {address}", "network"
    else:
        return
    raise AuthenticationError(f"the API key {text}", reason=reason, prefix=key.prefix)


def viewer_of(key: Key) -> Viewer:
    """Return whose things the bearer of a key sees."""
    limited = key.limits.customer_ids
    if key.role.includes(Role.ANALYZER):
        # Analysers and administrators run the service for all customers.
        seen = None if limited is None else frozenset(limited)
    else:
        home = {key.user.customer_id}
        seen = frozenset(home if limited is None else home & set(limited))
    acting = key.user.customer_id
    if seen is not None and acting not in seen and len(seen) == 1:
        # A key for one other customer is for acting for that one.
        (acting,) = seen
    return Viewer(
        user_id=key.user.id,
        customer_id=acting,
        customer_ids=seen,
        is_limited=limited is not None,
    )


def _check_name(value: str, field_name: str) -> None:
    if not value.strip():
        raise InvalidError("must not be empty", field=field_name)
    _check_text(value, field_name)


def _check_text(value: str, field_name: str) -> None:
    if len(value) > _NAME_MAX:
        raise InvalidError(f"is longer than {_NAME_MAX} characters", field=field_name)
    if not value.isprintable():
        # Nor half of a surrogate pair, which stands for bytes that are no text.
        raise InvalidError("has characters that cannot be shown", field=field_name)


def _ensure_user(tx: Transaction, order: KeyOrder) -> User:
    found = users.find_user(tx, order.user_name)
    if found is None:
        return users.add_user(
            tx,
            user_id=uuid7(),
            name=order.user_name,
            role=order.role,
            customer_name=order.customer,
        )
    if found.role is not order.role:
        raise InvalidError(
            f"user '{order.user_name}' has the role {found.role}, not {order.role};"
            " name another user, or leave the role as it is",
            field="role",
        )
    if get_customer_ids(tx, [order.customer]) != [found.customer_id]:
        raise InvalidError(
            f"user '{order.user_name}' is of another customer; name another user",
            field="customer",
        )
    return found


def _limits(tx: Transaction, order: KeyOrder) -> KeyLimits:
    if order.key_role is not None and not order.role.includes(order.key_role):
        raise InvalidError(
            f"the key's role {order.key_role} is above the user's, {order.role}",
            field="key-role",
        )
    customers = order.customers
    lifetime = order.lifetime
    return KeyLimits(
        role=order.key_role,
        customer_ids=tuple(get_customer_ids(tx, customers)) if customers else None,
        networks=tuple(map(_network, order.networks)) if order.networks else None,
        expires_at=tx.now + lifetime if lifetime is not None else None,
    )


def _described(order: KeyOrder, limits: KeyLimits) -> dict[str, object]:
    expires_at = limits.expires_at
    return {
        "user": order.user_name,
        "role": order.role.value,
        "customer": order.customer,
        "label": order.label,
        "keyRole": limits.role.value if limits.role else None,
        "customers": list(order.customers) if order.customers else None,
        "networks": list(limits.networks) if limits.networks else None,
        "expires": expires_at.isoformat() if expires_at else None,
    }


def _network(written: str) -> str:
    try:
        return str(ip_network(written, strict=False))
    except ValueError:
        raise InvalidError(
            f"'{written}' is no network; write it as 10.0.0.0/8 or 2001:db8::/32",
            field="network",
        ) from None


def _is_within(address: str | None, networks: Sequence[str]) -> bool:
    try:
        found = ip_address(address or "")
    except ValueError:
        return False
    return any(found in ip_network(network) for network in networks)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
