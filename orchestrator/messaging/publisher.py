"""
Sends assignments and canaries, and says how much waits in the broker.

It never decides what is sent or when; ``flow/dispatch.py`` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from orchestrator.contracts.foreign import ForeignQueue
from orchestrator.contracts.names import MAINTENANCE, is_rabbitmq, worker_queue
from orchestrator.messaging.accounts import Account
from orchestrator.messaging.errors import BrokerError, broker_errors
from orchestrator.messaging.outgoing import Outgoing, PublishResult
from orchestrator.messaging.rabbitmq_sender import RabbitMQSender
from orchestrator.messaging.redis_sender import RedisSender

__all__ = ["Outgoing", "PublishResult", "Publisher"]


class Sender(Protocol):
    """What the two brokers do differently. Raises whatever its library raises."""

    def send(self, messages: Sequence[Outgoing]) -> PublishResult:
        """
        Send all; return those that the broker said it did not take.

        A queue that is not as it must be is its worker's trouble, and nobody else's.
        """

    def send_report(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Put one message into ``reports``."""

    def depths(self, queues: Iterable[str]) -> list[int]:
        """Return the length of each queue; 0 for one that does not exist."""

    def report_backlog(self) -> int:
        """Return how many reports nobody has acknowledged, as far as one can see."""

    def purge(self, queue: str) -> None:
        """Drop what waits in a queue, if there is one."""

    def admit(self, accounts: Sequence[Account]) -> None:
        """Let workers in, as far as this broker can be told by its own protocol."""

    def find_foreign(
        self, workers: Sequence[str], *, make: bool
    ) -> Sequence[ForeignQueue]:
        """Return what is none of ours; *make* what is missing, if need be."""

    def drop(self) -> None:
        """Forget the connection; the next call opens a new one."""

    def close(self) -> None:
        """Take leave of the broker."""


class Publisher:
    """One per process and thread. Connects at first use, and again after an error."""

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        self._rabbitmq = is_rabbitmq(broker_url)
        self._sender: Sender = (
            RabbitMQSender(broker_url) if self._rabbitmq else RedisSender(broker_url)
        )

    def publish(self, messages: Sequence[Outgoing]) -> PublishResult:
        """
        Send each message to its worker's queue. Never raises for the broker's trouble.

        Returns:
            What has to be sent again: what RabbitMQ refused or could not route; after
            an error all of them, because their fate is unknown.
        """
        if not messages:
            return PublishResult()
        try:
            with self._connected():
                result = self._sender.send(messages)
        except BrokerError as exc:
            return PublishResult(refused=tuple(messages), error=str(exc))
        if not result.refused or result.error:
            return result
        error = f"the broker refused {len(result.refused)} of {len(messages)} messages"
        return PublishResult(refused=result.refused, error=error)

    def publish_report_body(self, body: bytes, headers: Mapping[str, str]) -> None:
        """
        Put a message into ``reports``, as replicas do; for the canary and for tests.

        Raises:
            BrokerUnavailableError: It may or may not be there; safe to retry.
            ForeignQueueError: ``reports`` is none of ours.
        """
        with self._connected():
            self._sender.send_report(body, headers)

    def queue_depths(self, workers: Sequence[str]) -> dict[str, int]:
        """
        Return how many messages of each worker wait in the broker.

        A queue that does not exist counts 0. What a replica has taken is not counted.

        Raises:
            BrokerUnavailableError: Safe to retry.
        """
        queues = [
            worker_queue(worker, rabbitmq=self._rabbitmq).name for worker in workers
        ]
        with self._connected():
            depths = self._sender.depths(queues)
        return dict(zip(workers, depths, strict=True))

    def report_backlog(self) -> int:
        """
        Return how many reports wait to be applied.

        On RabbitMQ those that the consumer has prefetched are not seen.

        Raises:
            BrokerUnavailableError: Safe to retry.
        """
        with self._connected():
            return self._sender.report_backlog()

    def purge_ticks(self) -> None:
        """
        Drop every tick that waits.

        Raises:
            BrokerUnavailableError: Safe to retry.
        """
        with self._connected():
            self._sender.purge(MAINTENANCE)

    def admit(self, accounts: Sequence[Account]) -> None:
        """
        See to it that workers have accounts, on Redis; RabbitMQ's protocol knows none.

        Cheap where nothing is missing.

        Raises:
            BrokerUnavailableError: It is away, or our own account may not.
        """
        with self._connected():
            self._sender.admit(accounts)

    def find_foreign(
        self, workers: Sequence[str], *, make: bool = False
    ) -> Sequence[ForeignQueue]:
        """
        Return which queues, and exchanges on RabbitMQ, are none of ours: those of
        *workers* and the shared ones.

        Args:
            make: Make what is missing, on RabbitMQ: a worker's account may not.

        Raises:
            BrokerUnavailableError: Safe to retry.
        """
        with self._connected():
            return self._sender.find_foreign(workers, make=make)

    def close(self) -> None:
        """Take leave of the broker."""
        self._sender.close()

    @contextmanager
    def _connected(self) -> Iterator[None]:
        try:
            with broker_errors(self._broker_url):
                yield
        except BrokerError:
            self._sender.drop()
            raise
