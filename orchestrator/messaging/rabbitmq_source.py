"""
Reports from RabbitMQ: prefetched, and acknowledged up to the last one of a batch.

A py-amqp channel under kombu's connection, so that kombu, which decompresses before it
checks anything, never touches a body. What is not acknowledged when the connection ends
is delivered again by the broker.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.contracts.names import REPORTS, report_queue
from orchestrator.messaging.codec import RawMessage, decode_amqp
from orchestrator.messaging.errors import (
    LIBRARY_ERRORS,
    BrokerError,
    broker_errors,
)
from orchestrator.messaging.limits import BATCH_MAX_BYTES, BATCH_MAX_MESSAGES
from orchestrator.messaging.link import Link

#: Two batches: the broker delivers the next while this one is committed.
_PREFETCH: Final = 2 * BATCH_MAX_MESSAGES

#: RabbitMQ's consumer priorities are 32 bits, signed.
_PRIORITY_MAX: Final = 2**31 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class _Delivery:
    tag: int
    size_bytes: int
    message: RawMessage


class RabbitMQReportSource:
    """A ``ReportSource`` on RabbitMQ 3.10 or newer."""

    def __init__(self, broker_url: str, *, epoch: int) -> None:
        self._broker_url = broker_url
        self._epoch = epoch
        self._link = Link(broker_url)
        self._channel: Any = None
        self._arrived: deque[_Delivery] = deque()
        self._arrived_bytes = 0
        self._in_hand: list[_Delivery] = []
        self._is_interrupted = False
        with suppress(BrokerError), broker_errors(broker_url):
            self._connect()

    def batch(self, *, wait_seconds: float) -> Sequence[RawMessage]:
        self.requeue()
        deadline = time.monotonic() + wait_seconds
        with broker_errors(self._broker_url):
            try:
                self._receive(deadline)
            except LIBRARY_ERRORS:
                # Once more on a new connection: the broker delivers again what this one
                # had not acknowledged.
                self._disconnect()
                self._receive_or_disconnect(deadline)
        self._in_hand = self._next_in_hand()
        return [delivery.message for delivery in self._in_hand]

    def was_interrupted(self) -> bool:
        said, self._is_interrupted = self._is_interrupted, False
        return said

    def ack(self) -> None:
        done, self._in_hand = self._in_hand, []
        if not done:
            return
        with broker_errors(self._broker_url):
            try:
                self._channel.basic_ack(done[-1].tag, multiple=True)
            except LIBRARY_ERRORS:
                self._disconnect()
                raise

    def requeue(self) -> None:
        # Kept here, not returned to the broker: it would count a delivery each time
        # and, by default from RabbitMQ 4 on, drop the message at the twentieth.
        self._arrived.extendleft(reversed(self._in_hand))
        self._arrived_bytes += sum(delivery.size_bytes for delivery in self._in_hand)
        self._in_hand = []

    def depth(self) -> int:
        with broker_errors(self._broker_url):
            try:
                declared = self._open_channel().queue_declare(REPORTS, passive=True)
            except LIBRARY_ERRORS:
                self._disconnect()
                raise
        return int(declared.message_count) + len(self._arrived)

    def close(self) -> None:
        self._disconnect()

    def _open_channel(self) -> Any:
        if self._channel is None:
            self._connect()
        return self._channel

    def _connect(self) -> None:
        channel = self._link.channel()
        channel.auto_decode = False
        report_queue(rabbitmq=True)(channel).declare()
        channel.basic_qos(0, _PREFETCH, a_global=False)
        channel.basic_consume(
            REPORTS,
            callback=self._on_delivery,
            # The newest reader is served first, whoever else is still connected.
            arguments={"x-priority": min(self._epoch, _PRIORITY_MAX)},
        )
        self._channel = channel

    def _disconnect(self) -> None:
        self._is_interrupted = True
        self._channel = None
        self._arrived.clear()
        self._arrived_bytes = 0
        self._in_hand = []
        self._link.close()

    def _on_delivery(self, message: Any) -> None:
        properties = message.properties
        self._arrived_bytes += len(message.body)
        self._arrived.append(
            _Delivery(
                tag=message.delivery_tag,
                size_bytes=len(message.body),
                message=decode_amqp(
                    message.body,
                    properties.get("content_type"),
                    properties.get("content_encoding"),
                    properties.get("application_headers"),
                ),
            )
        )

    def _receive(self, deadline: float) -> None:
        """Read from the socket until a batch is full or nothing more is there."""
        connection = self._open_channel().connection
        while not self._has_full_batch():
            patience = 0 if self._arrived else max(deadline - time.monotonic(), 0)
            try:
                connection.drain_events(timeout=patience)
            except TimeoutError:
                break
        # After reading, so that a heartbeat that waited in the socket counts.
        connection.heartbeat_tick()

    def _receive_or_disconnect(self, deadline: float) -> None:
        try:
            self._receive(deadline)
        except LIBRARY_ERRORS:
            self._disconnect()
            raise

    def _has_full_batch(self) -> bool:
        return (
            len(self._arrived) >= BATCH_MAX_MESSAGES
            or self._arrived_bytes >= BATCH_MAX_BYTES
        )

    def _next_in_hand(self) -> list[_Delivery]:
        chosen: list[_Delivery] = []
        size_bytes = 0
        while (
            self._arrived
            and len(chosen) < BATCH_MAX_MESSAGES
            and size_bytes < BATCH_MAX_BYTES
        ):
            delivery = self._arrived.popleft()
            size_bytes += delivery.size_bytes
            chosen.append(delivery)
        self._arrived_bytes -= size_bytes
        return chosen
