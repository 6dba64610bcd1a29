"""
Sending on RabbitMQ: mandatory, and confirmed by the broker, many at a time.

py-amqp would wait for every single confirm; here the whole batch is written first and
the confirms are counted as they come.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import amqp
from kombu import Exchange, Producer, Queue

from orchestrator.contracts.foreign import ForeignQueue
from orchestrator.contracts.names import REPORTS, report_queue, worker_queue
from orchestrator.contracts.silence import ANSWER_SECONDS
from orchestrator.messaging.accounts import Account
from orchestrator.messaging.errors import (
    BrokerUnavailableError,
    ForeignQueueError,
    broker_errors,
)
from orchestrator.messaging.link import Link
from orchestrator.messaging.outgoing import Outgoing, PublishResult
from orchestrator.messaging.task_message import task_body, task_headers, task_properties
from orchestrator.messaging.topology import rabbitmq_parts


class _Confirms:
    """
    A channel in confirm mode, and what the broker said about each publish on it.

    RabbitMQ returns an unroutable message first and confirms it then; both name
    different things, a correlation id and a sequence number.
    """

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.producer = Producer(channel)
        self.declared: set[str] = set()
        self._sequence = 0
        self._open: dict[int, str] = {}
        self._refused: set[str] = set()
        channel.confirm_select()
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)
        channel.events["basic_return"].add(self._on_return)

    def declare(self, queue: Queue) -> None:
        if queue.name in self.declared:
            return
        # On a channel of its own: a queue of other arguments costs it.
        channel = self.channel.connection.channel()
        queue(channel).declare()
        channel.close()
        self.declared.add(queue.name)

    def publish(
        self, body: str | bytes, *, to: Queue, correlation_id: str, **properties: Any
    ) -> None:
        self._sequence += 1
        self._open[self._sequence] = correlation_id
        self.producer.publish(
            body,
            exchange=to.exchange,
            routing_key=to.routing_key,
            mandatory=True,
            content_type="application/json",
            content_encoding="utf-8",
            correlation_id=correlation_id,
            **properties,
        )

    def refused(self) -> set[str]:
        """Wait for every confirm; return the correlation ids that nobody took."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while self._open:
            patience = max(deadline - time.monotonic(), 0)
            self.channel.connection.drain_events(timeout=patience)
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
        # The queue was deleted behind our back: the next publish declares it again.
        self.declared.discard(routing_key)


class RabbitMQSender:
    """A ``Sender`` on RabbitMQ."""

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        self._link = Link(broker_url)
        self._confirms: _Confirms | None = None

    def send(self, messages: Sequence[Outgoing]) -> PublishResult:
        confirms = self._open_confirms()
        workers = {message.worker for message in messages}
        spoilt = self._find_spoilt(confirms, workers)
        by_id: dict[str, Outgoing] = {}
        for message in messages:
            if message.worker in spoilt:
                continue
            body, properties = task_body(message), task_properties(message)
            by_id[properties["correlation_id"]] = message
            confirms.publish(
                body,
                to=worker_queue(message.worker, rabbitmq=True),
                headers=task_headers(message, body),
                **properties,
            )
        refused = [by_id[task_id] for task_id in confirms.refused()]
        unsent = [message for message in messages if message.worker in spoilt]
        return PublishResult(
            refused=(*refused, *unsent),
            error="; ".join(map(str, spoilt.values())) or None,
            spoilt=frozenset(spoilt),
        )

    def _find_spoilt(
        self, confirms: _Confirms, workers: Iterable[str]
    ) -> dict[str, ForeignQueue]:
        """Return the workers whose queue has other arguments, and what is wrong."""
        spoilt = {}
        for worker in sorted(workers):
            try:
                with broker_errors(self._broker_url):
                    confirms.declare(worker_queue(worker, rabbitmq=True))
            except ForeignQueueError as error:
                spoilt[worker] = error.queue
        return spoilt

    def send_report(self, body: bytes, headers: Mapping[str, str]) -> None:
        confirms = self._open_confirms()
        queue = report_queue(rabbitmq=True)
        confirms.declare(queue)
        confirms.publish(body, to=queue, correlation_id=REPORTS, headers=dict(headers))
        if confirms.refused():
            raise BrokerUnavailableError("RabbitMQ refused a message for 'reports'")

    def depths(self, queues: Iterable[str]) -> list[int]:
        return [self._depth(name) for name in queues]

    def report_backlog(self) -> int:
        return self._depth(REPORTS)

    def purge(self, queue: str) -> None:
        # As a passive declare: a missing queue costs the channel.
        channel = self._link.channel()
        with suppress(amqp.NotFound):
            channel.queue_purge(queue)
            channel.close()

    def admit(self, accounts: Sequence[Account]) -> None:
        """Its protocol knows none."""

    def find_foreign(
        self, workers: Sequence[str], *, make: bool
    ) -> Sequence[ForeignQueue]:
        channel = self._link.channel()
        # By name: a queue is not declared either whose exchange is none of ours.
        found = {
            foreign.name: foreign
            for part in rabbitmq_parts(workers)
            if (foreign := self._foreign(channel, part, make=make)) is not None
        }
        channel.close()
        if self._confirms is not None:
            # What was ours before need not be now.
            self._confirms.declared.difference_update(found)
        return list(found.values())

    def drop(self) -> None:
        self._confirms = None
        self._link.close()

    def close(self) -> None:
        self._confirms = None
        self._link.close()

    def _foreign(
        self, channel: Any, part: Exchange | Queue, *, make: bool
    ) -> ForeignQueue | None:
        # py-amqp opens a channel again that a refusal has cost.
        try:
            with broker_errors(self._broker_url):
                if make or _is_there(channel, part):
                    part(channel).declare()
        except ForeignQueueError as error:
            return error.queue
        return None

    def _depth(self, name: str) -> int:
        # A passive declare of a missing queue costs its channel, so it gets its own.
        channel = self._link.channel()
        try:
            declared = channel.queue_declare(name, passive=True)
        except amqp.NotFound:
            return 0
        channel.close()
        return int(declared.message_count)

    def _open_confirms(self) -> _Confirms:
        if self._confirms is None:
            self._confirms = _Confirms(self._link.channel())
        return self._confirms


def _is_there(channel: Any, part: Exchange | Queue) -> bool:
    with suppress(amqp.NotFound):
        if isinstance(part, Queue):
            channel.queue_declare(part.name, passive=True)
        else:
            channel.exchange_declare(part.name, part.type, passive=True)
        return True
    return False
