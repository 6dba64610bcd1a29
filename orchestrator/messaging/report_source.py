"""
Reading the queue ``reports``: one small interface, two brokers.

What a report means is the caller's business; so is the transaction between
``batch`` and ``ack``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from orchestrator.contracts.names import is_rabbitmq
from orchestrator.messaging.codec import RawMessage
from orchestrator.messaging.rabbitmq_source import RabbitMQReportSource
from orchestrator.messaging.redis_source import RedisReportSource


class ReportSource(Protocol):
    """
    Batches of reports, each read again until it is acknowledged.

    A reader that dies, at any moment, loses nothing. For one process and thread.
    """

    def batch(self, *, wait_seconds: float) -> Sequence[RawMessage]:
        """
        Return what is there, oldest first: at most 500 messages or about 16 MiB.

        Args:
            wait_seconds: How long to wait while there is nothing. It never waits for
                more, and returns ``[]`` when nothing came.

        Raises:
            BrokerUnavailableError: Safe to retry; the next call connects again.
            ForeignQueueError: ``reports`` is none of ours; safe to retry.
            SupersededError: A reader with a newer epoch has taken over; stop.
        """

    def was_interrupted(self) -> bool:
        """
        Whether the connection broke since this was asked last: of what was reported
        meanwhile, and of what waited, something may be gone.
        """

    def ack(self) -> None:
        """
        The last batch is done. Call it after the commit.

        Raises:
            BrokerUnavailableError: Nobody knows; the batch may be read once more.
        """

    def requeue(self) -> None:
        """The last batch was not applied: the next one begins with it, in order."""

    def depth(self) -> int:
        """
        Return how many messages wait to be read, those of the last batch not counted.

        Raises:
            BrokerUnavailableError: Safe to retry.
        """

    def close(self) -> None:
        """Let go of the broker; what was not acknowledged will be read again."""


def open_report_source(broker_url: str, *, epoch: int) -> ReportSource:
    """
    Return a reader of ``reports``. It connects now if it can, else at the first batch.

    Args:
        epoch: A number that grows at every takeover. On Redis it fences: from the
            moment this call (or the first batch) reaches the broker, a reader with a
            smaller one can move nothing and acknowledge nothing. On RabbitMQ the
            newest is served first, and an older one's messages return to it when that
            connection ends.
    """
    if is_rabbitmq(broker_url):
        return RabbitMQReportSource(broker_url, epoch=epoch)
    return RedisReportSource(broker_url, epoch=epoch)
