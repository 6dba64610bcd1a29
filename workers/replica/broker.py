"""
The connection on which a replica takes its assignments.

Owns what differs from that of any Celery process of ours: how soon it comes back; that
it makes nothing which others use, because a worker's account may not; and on Redis
where it is noted what was delivered and not yet acknowledged. RabbitMQ notes that by
itself.
"""

from __future__ import annotations

import logging
from typing import Any

import amqp
from kombu import transport
from kombu.transport import TRANSPORT_ALIASES, virtual
from redis.exceptions import RedisError
from typing_extensions import override

from orchestrator.contracts import names
from orchestrator.contracts.node import connection

log = logging.getLogger(__name__)


class _Unacknowledged(virtual.QoS):  # type: ignore[misc]  # kombu has no types
    """
    What was delivered and not yet acknowledged, in memory alone.

    Kombu copies every message into Redis and deletes the copy at its acknowledgement,
    two round trips that find again what a killed consumer held. The orchestrator does
    that from its database, and sooner.
    """

    def restore_unacked(self) -> list[tuple[BaseException, Any]]:
        """
        Put everything back into its queue, the first delivered foremost.

        Returns:
            No errors, ever: kombu would write the messages and their tokens to a file.
            What cannot go back is recovered like what a killed replica held.
        """
        self._flush()
        held = list(reversed(self._delivered.values()))
        self._delivered.clear()
        try:
            for message in held:
                self.channel._restore(message)  # noqa: SLF001  (as kombu's QoS does)
        except (RedisError, OSError):
            log.warning("messages.not_returned")
        return []


class _RedisChannel(connection.RedisChannel):
    QoS = _Unacknowledged

    def _queue_bind(self, exchange: str, key: str, _: str, queue: str) -> None:
        # Kombu also writes bindings into Redis, by scripts. A subscription needs none,
        # nor does the nameless exchange, and a replica binds nothing else.
        if self.typeof(exchange).type == "fanout":
            self._fanout_queues[queue] = (exchange, key.replace("#", "*"))

    def _delete(self, *args: Any, **options: Any) -> None:
        """Leave alone what was never written."""

    def maybe_refresh_binding_expiry(self) -> None:
        """Likewise."""

    def _restore(self, message: Any, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002  (kombu's)
        raw = message._raw  # noqa: SLF001  (kombu's QoS keeps the same)
        came = message.delivery_info
        where = came["exchange"], came["routing_key"]
        with self.conn_or_acquire() as client, client.pipeline() as pipe:
            self._do_restore_message(raw, *where, pipe, leftmost)
            pipe.execute()


class _RedisTransport(connection.RedisTransport):
    Channel = _RedisChannel


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
            connection.RedisTransport: _RedisTransport,
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
        "redis": _RedisTransport,
        "rediss": _RedisTransport,
        "amqp": _AmqpTransport,
        "pyamqp": _AmqpTransport,
        "amqps": _AmqpTLSTransport,
    }
    TRANSPORT_ALIASES.update(
        {name: f"{__name__}:{kind.__name__}" for name, kind in ours.items()}
    )
    # What it looked up before; Celery asks for the broker's kind early.
    transport._transport_cache.clear()  # noqa: SLF001
