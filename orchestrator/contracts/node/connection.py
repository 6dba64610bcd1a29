"""
Connections of a Celery process: kombu's, but what comes is looked at before it is read.

Kombu parses an envelope from Redis before anybody else sees it, and lets what it trips
over end the process; of RabbitMQ's messages it decodes the body as they say. On Redis,
what was delivered and not yet acknowledged is noted here; RabbitMQ notes that itself.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any, Final

import redis
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from redis.exceptions import RedisError
from typing_extensions import override

from orchestrator.contracts import amqp_link
from orchestrator.contracts.amqp_headers import read_headers_safely
from orchestrator.contracts.node.messages import (
    UnreadableError,
    check_envelope,
    note_discarded,
)

log = logging.getLogger(__name__)

#: Seconds for what a blocking pop that waits for one second may still bring.
_LAST_ANSWER_SECONDS: Final = 1.5

#: Kombu's, between a queue's name and a priority.
_SEPARATOR = b"\x06\x16"


class _Client(redis.Redis):
    """Returns no item of a list that kombu could not read: as if none had come."""

    @override
    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        found: Any = super().parse_response(  # type: ignore[no-untyped-call]  # redis
            connection, command_name, **options
        )
        if command_name != "BRPOP" or not found:
            return found
        key, raw = found
        queue = bytes(key).partition(_SEPARATOR)[0].decode("utf-8", "replace")
        return found if is_readable(raw, queue=queue) else None


class _Unacknowledged(virtual.QoS):  # type: ignore[misc]  # kombu has no types
    """
    What was delivered and not yet acknowledged, in memory alone.

    Kombu copies every message into Redis and deletes the copy at its acknowledgement,
    two round trips that find again what a killed consumer held. The orchestrator does
    that from its database, and sooner; a tick that is lost is followed by the next. And
    a Redis that is full would let nobody take anything.
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


class RedisChannel(kombu_redis.Channel):  # type: ignore[misc]  # kombu has no types
    """A channel of Redis on which only envelopes arrive, and which keeps no notes."""

    QoS = _Unacknowledged

    def _get_client(self) -> Any:
        super()._get_client()  # It looks at the library's version.
        return _Client

    def _handle_message(self, client: Any, r: Any) -> Any:
        payload = super()._handle_message(client, r)
        data = payload["data"]
        # Of those that say how many subscriptions there are, it is a number.
        if isinstance(data, bytes) and not is_readable(data, queue=None):
            payload["data"] = None
        return payload

    def _queue_bind(self, exchange: str, key: str, _: str, queue: str) -> None:
        # Kombu also writes bindings into Redis, by scripts. A subscription needs none,
        # nor does the nameless exchange, and these processes bind nothing else.
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

    def close(self) -> None:
        # Kombu takes what its pop has taken, lest it be lost, and waits for a broker
        # that says nothing as long as for any answer; then it does not go on.
        if self._in_poll:
            self._in_poll.update_current_socket_timeout(_LAST_ANSWER_SECONDS)
        with suppress(*self.connection_errors):
            super().close()
        if not self.closed:
            super().close()


class RedisTransport(kombu_redis.Transport):  # type: ignore[misc]  # kombu has no types
    """Redis, through such channels."""

    Channel = RedisChannel


class AmqpChannel(amqp_link.AmqpChannel):
    """A channel of RabbitMQ that leaves a body the bytes that it is."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # A body may name an encoding that takes minutes to decode.
        super().__init__(*arguments, **{**options, "auto_decode": False})


class AmqpConnection(amqp_link.AmqpConnection):
    """RabbitMQ, through such channels."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        read_headers_safely()
        super().__init__(*arguments, **options)

    Channel = AmqpChannel


class AmqpTransport(amqp_link.AmqpTransport):
    """RabbitMQ's transport, with such connections."""

    Connection = AmqpConnection


class AmqpTLSTransport(amqp_link.AmqpTLSTransport):
    """Likewise, with TLS."""

    Connection = AmqpConnection


_OURS: dict[type, type] = {
    kombu_redis.Transport: RedisTransport,
    amqp_link.AmqpTransport: AmqpTransport,
    amqp_link.AmqpTLSTransport: AmqpTLSTransport,
}


class NodeConnection(amqp_link.BrokerConnection):
    """A connection to either broker."""

    @override
    def get_transport_cls(self) -> Any:
        found = super().get_transport_cls()
        return _OURS.get(found, found)


def is_readable(raw: bytes, *, queue: str | None) -> bool:
    """Whether *raw* is an envelope of kombu's; if not, that is written down."""
    try:
        check_envelope(raw, queue=queue)
    except UnreadableError as error:
        note_discarded(str(error), raw)
        return False
    return True
