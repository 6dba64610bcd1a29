"""
Publishing on RabbitMQ: mandatory, and confirmed by the broker, many at a time.

py-amqp would wait for every single confirm; here as many as there are is written first,
and the confirms are counted as they come. What is sent is the caller's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from kombu import Queue

from orchestrator.contracts.silence import ANSWER_SECONDS

#: RabbitMQ keeps such a message when it is started anew.
_PERSISTENT: Final = 2


class Confirms:
    """
    A channel in confirm mode, and what the broker said about each publish on it.

    RabbitMQ returns an unroutable message first and confirms it then; both name
    different things, a correlation id and a sequence number.

    Args:
        channel: kombu's, of a connection that does not wait for each confirm.
        note_unroutable: Is told the routing key of a message that no queue got.
    """

    def __init__(self, channel: Any, note_unroutable: Callable[[str], None]) -> None:
        self._channel = channel
        self._note_unroutable = note_unroutable
        self._sequence = 0
        self._open: dict[int, str] = {}
        self._refused: set[str] = set()
        channel.confirm_select()
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)
        channel.events["basic_return"].add(self._on_return)

    def publish(
        self,
        body: str | bytes,
        *,
        to: Queue,
        headers: Mapping[str, object],
        correlation_id: str,
        **properties: Any,
    ) -> None:
        """Write one JSON message for the queue *to*, and do not wait."""
        self._sequence += 1
        self._open[self._sequence] = correlation_id
        message = self._channel.prepare_message(
            body,
            content_type="application/json",
            content_encoding="utf-8",
            headers=headers,
            properties={
                "delivery_mode": _PERSISTENT,
                "correlation_id": correlation_id,
                **properties,
            },
        )
        exchange = to.exchange.name if to.exchange else ""
        self._channel.basic_publish(message, exchange, to.routing_key, mandatory=True)

    def refused(self) -> set[str]:
        """
        Wait for every confirm; return the correlation ids that nobody took.

        Raises:
            TimeoutError: They did not come; nobody knows.
        """
        deadline = time.monotonic() + ANSWER_SECONDS
        while self._open:
            patience = max(deadline - time.monotonic(), 0)
            self._channel.connection.drain_events(timeout=patience)
        refused, self._refused = self._refused, set()
        return refused

    def _on_ack(self, sequence: int, multiple: bool) -> None:  # noqa: FBT001 - amqp's
        for number in self._settled(sequence, multiple=multiple):
            del self._open[number]

    def _on_nack(self, sequence: int, multiple: bool) -> None:  # noqa: FBT001 - amqp's
        for number in self._settled(sequence, multiple=multiple):
            self._refused.add(self._open.pop(number))

    def _settled(self, sequence: int, *, multiple: bool) -> list[int]:
        if not multiple:
            return [sequence] if sequence in self._open else []
        return [number for number in self._open if number <= sequence]

    def _on_return(
        self, _error: Exception, _exchange: str, routing_key: str, message: Any
    ) -> None:
        self._refused.add(message.properties["correlation_id"])
        self._note_unroutable(routing_key)
