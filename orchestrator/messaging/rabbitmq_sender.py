"""
Sending on RabbitMQ: a batch is written as a whole, then confirmed by the broker.

Owns which queues were declared. The confirms are ``contracts/confirms.py``'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import amqp
from kombu import Exchange, Queue

from orchestrator.contracts.confirms import Confirms
from orchestrator.contracts.foreign import ForeignQueue
from orchestrator.contracts.names import REPORTS, report_queue, worker_queue
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


class RabbitMQSender:
    """A ``Sender`` on RabbitMQ."""

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        self._link = Link(broker_url)
        self._confirms: Confirms | None = None
        self._declared: set[str] = set()

    def send(self, messages: Sequence[Outgoing]) -> PublishResult:
        confirms = self._open_confirms()
        workers = {message.worker for message in messages}
        spoilt = self._find_spoilt(workers)
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

    def _find_spoilt(self, workers: Iterable[str]) -> dict[str, ForeignQueue]:
        """Return the workers whose queue has other arguments, and what is wrong."""
        spoilt = {}
        for worker in sorted(workers):
            try:
                with broker_errors(self._broker_url):
                    self._declare(worker_queue(worker, rabbitmq=True))
            except ForeignQueueError as error:
                spoilt[worker] = error.queue
        return spoilt

    def send_report(self, body: bytes, headers: Mapping[str, str]) -> None:
        confirms = self._open_confirms()
        queue = report_queue(rabbitmq=True)
        self._declare(queue)
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
        # What was ours before need not be now.
        self._declared.difference_update(found)
        return list(found.values())

    def drop(self) -> None:
        self._confirms = None
        # A broker that was started anew has none of it.
        self._declared.clear()
        self._link.close()

    def close(self) -> None:
        self.drop()

    def _declare(self, queue: Queue) -> None:
        if queue.name in self._declared:
            return
        # On a channel of its own: a queue of other arguments costs it.
        channel = self._link.channel()
        queue(channel).declare()
        channel.close()
        self._declared.add(queue.name)

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

    def _open_confirms(self) -> Confirms:
        if self._confirms is None:
            # A queue that was deleted behind our back is declared again.
            self._confirms = Confirms(self._link.channel(), self._declared.discard)
        return self._confirms


def _is_there(channel: Any, part: Exchange | Queue) -> bool:
    with suppress(amqp.NotFound):
        if isinstance(part, Queue):
            channel.queue_declare(part.name, passive=True)
        else:
            channel.exchange_declare(part.name, part.type, passive=True)
        return True
    return False
