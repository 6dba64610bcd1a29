"""
The connection on which a replica takes its assignments.

Owns what differs from that of any Celery process of ours: how soon it comes back, and
that it makes nothing which others use, because a worker's account may not.
"""

from __future__ import annotations

from typing import Any

import amqp
from kombu import transport
from kombu.transport import TRANSPORT_ALIASES
from typing_extensions import override

from orchestrator.contracts import names
from orchestrator.contracts.node import connection


class _AmqpChannel(connection.AmqpChannel):
    """
    Asks whether an exchange or a queue is there instead of making it.

    Asking takes no rights. What is missing is an error, and the connection is tried
    again until the orchestrator has made it.
    """

    def exchange_declare(self, *args: Any, **options: Any) -> Any:
        return super().exchange_declare(*args, **{**options, "passive": True})

    def queue_declare(self, queue: str = "", **options: Any) -> Any:
        is_own = queue.endswith(f".{names.MAILBOX}")
        return super().queue_declare(
            queue, **(options if is_own else {**options, "passive": True})
        )


class _AmqpConnection(connection.AmqpConnection):
    Channel = _AmqpChannel


class _AmqpTransport(connection.AmqpTransport):
    Connection = _AmqpConnection


class _AmqpTLSTransport(connection.AmqpTLSTransport):
    Connection = _AmqpConnection


class Connection(connection.NodeConnection):
    """Comes back to a restarted broker within 2 s, where Celery would wait up to 30."""

    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        pace = {"interval_start": 0.2, "interval_step": 0.4, "interval_max": 2.0}
        return super().ensure_connection(*args, **{**pace, **options})

    @override
    def get_transport_cls(self) -> Any:
        found = super().get_transport_cls()
        ours: dict[type, type] = {
            connection.AmqpTransport: _AmqpTransport,
            connection.AmqpTLSTransport: _AmqpTLSTransport,
        }
        return ours.get(found, found)


def find_missing(opened: Any, settings: Any) -> str | None:
    """
    Return the name of something on the broker that is not there and is needed.

    Args:
        opened: A connection.
        settings: Celery's, with the queues that are read.
    """
    if not names.is_rabbitmq(str(opened.as_uri())):
        # A list is its pushes.
        return None
    queues: list[str] = [queue.name for queue in settings.task_queues]
    for exchange in (names.MAILBOX, names.REPLIES, names.EVENTS):
        if not _is_there(opened, "exchange_declare", exchange, "direct"):
            return exchange
    absent = [
        queue
        for queue in (*queues, names.REPORTS)
        if not _is_there(opened, "queue_declare", queue)
    ]
    return absent[0] if absent else None


def _is_there(opened: Any, method: str, *arguments: str) -> bool:
    channel = opened.channel()
    try:
        getattr(channel, method)(*arguments, passive=True)
    except amqp.NotFound:
        # It has cost the channel.
        return False
    channel.close()
    return True


def use_our_transports() -> None:
    """
    Let every connection of this process be one of ours.

    Celery opens some, for answers to control commands, by kombu's pools, which take
    neither a class nor a transport from anybody; so kombu's table is changed.
    """
    ours = {
        "redis": connection.RedisTransport,
        "rediss": connection.RedisTransport,
        "amqp": _AmqpTransport,
        "pyamqp": _AmqpTransport,
        "amqps": _AmqpTLSTransport,
    }
    TRANSPORT_ALIASES.update(
        {name: f"{kind.__module__}:{kind.__name__}" for name, kind in ours.items()}
    )
    # What it looked up before; Celery asks for the broker's kind early.
    transport._transport_cache.clear()  # noqa: SLF001
