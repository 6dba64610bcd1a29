"""
The errors of this package, and the place where every library's error becomes one.

    BrokerError
     ├─ BrokerUnavailableError   it is away, or takes nothing
     └─ ForeignQueueError        it is here, and one queue is none of ours

No text that leaves here holds a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import amqp
import redis
from kombu.exceptions import KombuError

from orchestrator.contracts.broker_words import words
from orchestrator.contracts.foreign import ForeignQueue, read_refusal

#: What redis-py, kombu and py-amqp raise for a broker that is away, refuses or answers
#: nonsense. ``OSError`` holds the sockets' own errors and their timeouts.
LIBRARY_ERRORS: tuple[type[Exception], ...] = (
    redis.RedisError,
    KombuError,
    amqp.AMQPError,
    amqp.exceptions.MessageNacked,
    OSError,
)


class BrokerError(ConnectionError):
    """The broker did not do what was asked; always safe to try again."""

    code = "broker_error"


class BrokerUnavailableError(BrokerError):
    """The broker is away, refuses, takes no writes or is out of memory."""

    code = "broker_unavailable"


class ForeignQueueError(BrokerError):
    """Where a queue of ours should be is something else, until somebody mends it."""

    code = "foreign_queue"

    def __init__(self, queue: ForeignQueue) -> None:
        super().__init__(str(queue))
        self.queue = queue


def masked(broker_url: str) -> str:
    """Return *broker_url* without its password, for people and logs."""
    # Up to the last @: in a URL that cannot be read it may be part of the password.
    without_password = re.sub(r"(//[^:@]*):.*@", r"\1:**@", broker_url)
    return re.sub(r"(password=)[^&]*", r"\1**", without_password)


@contextmanager
def broker_errors(broker_url: str) -> Iterator[None]:
    """
    Turn what the libraries raise into a ``BrokerError``.

    Raises:
        BrokerUnavailableError: Names the broker (masked) and what it said.
        ForeignQueueError: RabbitMQ would not declare a queue.
    """
    try:
        yield
    except BrokerError:
        raise
    except (amqp.PreconditionFailed, amqp.ResourceLocked) as exc:
        raise _refused(broker_url, exc) from exc
    except LIBRARY_ERRORS as exc:
        raise _unavailable(broker_url, exc) from exc


def _refused(broker_url: str, error: amqp.AMQPError) -> BrokerError:
    # Of the same class are a message that is too large and a tag that nobody knows.
    queue = read_refusal(error.reply_text or "")
    return ForeignQueueError(queue) if queue else _unavailable(broker_url, error)


def _unavailable(broker_url: str, error: Exception) -> BrokerUnavailableError:
    return BrokerUnavailableError(f"{masked(broker_url)}: {words(error)}")
