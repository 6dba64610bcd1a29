"""
Tells the broker which accounts there are: Redis by ``ACL SETUSER``, RabbitMQ by its
management API; or says in lines what somebody else may tell it.

Always the whole of it: an account of this deployment that is not given is removed. What
an account may do is ``accounts.py``'s.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import httpx

from orchestrator.contracts.https import CA_CERTS, trusting, why_untrusted
from orchestrator.contracts.names import is_rabbitmq
from orchestrator.domain.errors import ConfigurationError
from orchestrator.messaging.accounts import (
    Account,
    rabbitmq_rights,
    redis_rules,
)
from orchestrator.messaging.errors import broker_errors
from orchestrator.messaging.topology import broker_database, redis_client

_TIMEOUT_SECONDS = 10.0


def account_url(broker_url: str, account: Account) -> str:
    """Return *broker_url* with an account's credentials in place of its own."""
    parts = urlsplit(broker_url)
    address = parts.netloc.rpartition("@")[2]
    user, password = quote(account.user, safe=""), quote(account.passwords[0], safe="")
    query = [
        (name, value)
        for name, value in parse_qsl(parts.query)
        if name not in {"username", "password"}
    ]
    netloc = f"{user}:{password}@{address}"
    # A socket's address has no host: urlunsplit would drop the slashes of its path.
    return urlunsplit((parts.scheme, netloc, parts.path, urlencode(query), ""))


def lines(broker_url: str, accounts: Sequence[Account]) -> list[str]:
    """
    Return what a person, or a script, tells the broker.

    For Redis lines of an aclfile, which ``ACL LOAD`` reads, with hashed passwords; for
    RabbitMQ lines of a shell, with the passwords in them, on no command line.
    """
    if not is_rabbitmq(broker_url):
        database = int(broker_database(broker_url))
        return [_acl_line(account, database=database) for account in accounts]
    host = broker_database(broker_url)
    return [line for account in accounts for line in _ctl_lines(account, host)]


def apply_to_redis(
    broker_url: str, accounts: Sequence[Account], *, anew: bool = True
) -> None:
    """
    Give a Redis these accounts, and end the connections of those that changed.

    Args:
        anew: Whether to write those too whose passwords are in it already.

    Raises:
        BrokerUnavailableError: It is away, it is older than 7, or our own account may
            not.
    """
    database = int(broker_database(broker_url))
    with broker_errors(broker_url), redis_client(broker_url) as client:
        written = [
            account.user
            for account in accounts
            if _write(client, account, database=database, anew=anew)
        ]
        removed = _remove_others(client, accounts)
        if (written or removed) and client.config_get("aclfile").get("aclfile"):
            client.acl_save()


def _write(client: Any, account: Account, *, database: int, anew: bool) -> bool:
    before = _password_hashes(client, account.user)
    after = {_hashed(password) for password in account.passwords}
    if before == after and not anew:
        return False
    rules = redis_rules(account, database=database)
    client.execute_command("ACL", "SETUSER", account.user, *rules)
    if before - after:
        client.client_kill_filter(user=account.user)
    return True


def apply_to_rabbitmq(
    broker_url: str,
    management_url: str,
    accounts: Sequence[Account],
    *,
    ca_certs: str | None = None,
) -> None:
    """
    Give a RabbitMQ these accounts.

    Args:
        management_url: Of its management API, with an administrator's name and
            password: ``http://name:password@host:15672``, or ``https://``.
        ca_certs: A file of authorities that are trusted beside the public ones.

    Raises:
        ConfigurationError: It did not take them; the message says what it answered.
    """
    host = quote(broker_database(broker_url), safe="")
    with httpx.Client(
        base_url=f"{management_url.rstrip('/')}/api",
        timeout=_TIMEOUT_SECONDS,
        trust_env=False,
        verify=trusting(ca_certs),
    ) as client:
        for account in accounts:
            user = quote(account.user, safe="")
            rights = rabbitmq_rights(account)
            password = {"password": account.passwords[0], "tags": ""}
            _put(client, f"/users/{user}", password)
            _put(
                client,
                f"/permissions/{host}/{user}",
                {
                    "configure": rights.configure,
                    "write": rights.write,
                    "read": rights.read,
                },
            )
            _close_connections(client, account.user)
        _remove_other_users(client, accounts)


def _acl_line(account: Account, *, database: int) -> str:
    rules = [
        f"#{_hashed(rule[1:])}" if rule.startswith(">") else rule
        for rule in redis_rules(account, database=database)
        if rule != "reset"
    ]
    return " ".join(["user", account.user, *rules])


def _ctl_lines(account: Account, host: str) -> list[str]:
    user, vhost = shlex.quote(account.user), shlex.quote(host)
    say = f"printf '%s\\n' {shlex.quote(account.passwords[0])}"
    rights = rabbitmq_rights(account)
    patterns = (rights.configure, rights.write, rights.read)
    end = (
        f"rabbitmqctl close_all_user_connections {user} 'its account was written anew'"
    )
    change = f"{{ {say} | rabbitmqctl change_password {user} && {end}; }}"
    return [
        f"{say} | rabbitmqctl add_user {user} || {change}",
        f"rabbitmqctl set_permissions -p {vhost} {user} {shlex.join(patterns)}",
    ]


def _hashed(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def _password_hashes(client: Any, user: str) -> set[str]:
    found = client.acl_getuser(user)
    return set(found["passwords"]) if found else set()


def _remove_others(client: Any, accounts: Sequence[Account]) -> list[str]:
    others = _others(client.acl_users(), accounts)
    if others:
        # Their connections end with them.
        client.acl_deluser(*others)
    return others


def _others(users: Iterable[str], accounts: Sequence[Account]) -> list[str]:
    """Return those of *users* that are of our deployment and not among *accounts*."""
    known = {account.user for account in accounts}
    prefixes = tuple(account.user.removesuffix(account.worker) for account in accounts)
    # Without any account nobody knows what this deployment is called.
    return [user for user in users if user.startswith(prefixes) and user not in known]


def _remove_other_users(client: httpx.Client, accounts: Sequence[Account]) -> None:
    try:
        listed = client.get("/users").raise_for_status().json()
        for name in _others([user["name"] for user in listed], accounts):
            client.delete(f"/users/{quote(name, safe='')}").raise_for_status()
            _close_connections(client, name)
    except (httpx.HTTPError, ValueError) as error:
        raise _refused(error) from None


def _close_connections(client: httpx.Client, user: str) -> None:
    # Whoever came in with what is over stays in, else. A server that does not know how
    # to says 404 or 405.
    try:
        client.delete(f"/connections/username/{quote(user, safe='')}")
    except httpx.HTTPError as error:
        raise _refused(error) from None


def _put(client: httpx.Client, path: str, document: dict[str, str]) -> None:
    try:
        client.put(path, json=document).raise_for_status()
    except httpx.HTTPError as error:
        raise _refused(error) from None


def _refused(error: Exception) -> ConfigurationError:
    # Its text has the address, and so perhaps a password.
    answer = getattr(error, "response", None)
    untrusted = why_untrusted(error)
    if answer:
        said = f"it answered {answer.status_code}"
    elif untrusted:
        said = f"its certificate is not trusted: {untrusted} (see {CA_CERTS})"
    else:
        said = type(error).__name__
    return ConfigurationError(
        f"the management API of RabbitMQ did not take an account: {said}; set"
        " ASSAY_BROKER_MANAGEMENT_URL=http://name:password@host:15672 to an"
        " administrator's",
        field="ASSAY_BROKER_MANAGEMENT_URL",
    )
