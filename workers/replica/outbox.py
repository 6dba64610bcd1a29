"""
How what a replica says gets to ``reports``: a batch in one go, on either broker.

Takes bytes that are signed already; what is said, and when, is the reporter's matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from kombu import Connection, Queue

from orchestrator.contracts.confirms import Confirms
from orchestrator.contracts.envelope import redis_envelope
from workers.replica.redis_line import RedisLine

#: A body, and the headers that sign it.
Signed = tuple[bytes, dict[str, str]]

_MESSAGE = "report"


class Outbox(Protocol):
    """One connection; for one thread at a time."""

    def send(self, messages: Sequence[Signed]) -> None:
        """
        Return when the broker has them all, in their order.

        Raises:
            Exception: Whatever the library raises; nobody knows how many it has.
        """

    def close(self) -> None:
        """Let go of the connection."""


class RedisOutbox:
    """Pushes all of it in one command."""

    def __init__(self, connection: Connection, queue: Queue) -> None:
        self._line = RedisLine(connection)
        self._key = queue.routing_key

    def send(self, messages: Sequence[Signed]) -> None:
        envelopes = [redis_envelope(*message, queue=self._key) for message in messages]
        self._line.ask("LPUSH", self._key, *envelopes)

    def close(self) -> None:
        self._line.close()


class UnroutableError(Exception):
    """RabbitMQ has no ``reports``, or did not take a message for it."""


class RabbitMQOutbox:
    """Writes all of it, then waits until each is confirmed."""

    def __init__(self, connection: Connection, queue: Queue) -> None:
        self._connection = connection
        self._queue = queue
        # A worker's account may not make it.
        with connection.channel() as channel:
            queue(channel).queue_declare(passive=True)
        self._confirms = Confirms(connection.channel(), lambda _: None)

    def send(self, messages: Sequence[Signed]) -> None:
        for body, headers in messages:
            self._confirms.publish(
                body, to=self._queue, headers=headers, correlation_id=_MESSAGE
            )
        if self._confirms.refused():
            raise UnroutableError(f"RabbitMQ did not take it for {self._queue.name}")

    def close(self) -> None:
        self._connection.close()


def open_outbox(
    connect: Callable[[], Connection], queue: Queue, *, rabbitmq: bool
) -> Outbox:
    """
    Connect to the broker.

    Raises:
        Exception: Whatever kombu raises; the caller tries again.
    """
    connection = connect()
    connection.connect()
    kind = RabbitMQOutbox if rabbitmq else RedisOutbox
    return kind(connection, queue)
