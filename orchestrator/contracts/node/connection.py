"""
Connections of a Celery process: kombu's, but what comes is looked at before it is read.

Kombu parses an envelope from Redis before anybody else sees it, and lets what it trips
over end the process; of RabbitMQ's messages it decodes the body as they say.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import redis
from kombu.transport import redis as kombu_redis
from typing_extensions import override

from orchestrator.contracts import amqp_link
from orchestrator.contracts.amqp_headers import read_headers_safely
from orchestrator.contracts.node.messages import (
    UnreadableError,
    check_envelope,
    note_discarded,
)

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


class RedisChannel(kombu_redis.Channel):  # type: ignore[misc]  # kombu has no types
    """A channel of Redis on which only envelopes arrive."""

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
