"""
What each worker may do in the broker: read its own queue, write ``reports``, answer
Flower, and nothing else. Pure: how the broker is told is ``policy.py``.

Tried with Celery 5.7 and kombu 5.7 on Redis 7.0, Valkey 9.1 and RabbitMQ 3.10: a
replica takes work, reports, is seen in Flower and answers it, and is stopped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestrator.contracts import names
from orchestrator.contracts.token import KeyRing

#: What kombu, redis-py and a replica's reporter send.
_REDIS_COMMANDS = (
    "ping",
    "select",
    "hello",
    "client|setname",
    "multi",
    "exec",
    "discard",
    "lpush",
    "rpush",
    "blmpop",
    "brpop",
    "llen",
    "exists",
    "smembers",
    "subscribe",
    "unsubscribe",
    "psubscribe",
    "punsubscribe",
)

#: A replica's node name is its worker's name, a dash, and eight characters of its own.
_OWN = "????????"


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """
    A worker's credentials for the broker.

    ``passwords``: one for each key of the service, the present one first. They derive
    from the key and the enrolment's generation, so that nothing has to be kept, and a
    new enrolment ends them.
    """

    worker: str
    user: str
    passwords: Sequence[str] = field(repr=False)

    @classmethod
    def of(
        cls, worker: str, generation: int, *, keys: KeyRing, deployment: str
    ) -> Account:
        """
        Return the account of *worker* as it is enrolled now.

        Args:
            deployment: Tells it from those of others: a broker's accounts are those of
                the whole server, not of one database or virtual host.
        """
        return cls(
            worker=worker,
            user=f"{user_prefix(deployment)}{worker}",
            passwords=keys.broker_passwords(worker, generation),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class RabbitMQRights:
    """Patterns of the names that a user may make, write to and read from."""

    configure: str
    write: str
    read: str


def user_prefix(deployment: str) -> str:
    """Return how every account of a worker of this deployment is called, at first."""
    return f"worker.{deployment}."


def redis_rules(account: Account, *, database: int) -> list[str]:
    """
    Return the rules of ``ACL SETUSER`` for *account*, for Redis 7 and newer.

    Publishing stands in a selector of its own: beside the channel that a replica
    listens to it would let a worker send ``stop`` to others.

    Args:
        database: The number of the one that the broker's URL names.
    """
    worker = account.worker
    mailbox = names.MAILBOX
    return [
        "reset",
        "on",
        *(f">{password}" for password in account.passwords),
        "-@all",
        *(f"+{command}" for command in _REDIS_COMMANDS),
        f"~{names.worker_queue(worker, rabbitmq=False).name}",
        f"%W~{names.REPORTS}",
        f"%R~{worker}-{_OWN}@*.{mailbox}",
        f"%R~_kombu.binding.{names.REPLIES}",
        f"%W~*.{names.REPLIES}",
        f"&/{database}.{mailbox}",
        f"(+publish &/{database}.{names.EVENTS}/*)",
    ]


def rabbitmq_rights(account: Account) -> RabbitMQRights:
    """Return what *account* may do; its own mailbox is all that it may make."""
    own = rf"{re.escape(account.worker)}-[0-9a-f]{{8}}@.*\.{re.escape(names.MAILBOX)}"
    queue = re.escape(names.worker_queue(account.worker, rabbitmq=True).name)
    replies, mailbox = re.escape(names.REPLIES), re.escape(names.MAILBOX)
    return RabbitMQRights(
        configure=f"^{own}$",
        write=f"^({names.REPORTS}|{names.EVENTS}|{replies}|{own})$",
        read=f"^({queue}|{mailbox}|{own})$",
    )
