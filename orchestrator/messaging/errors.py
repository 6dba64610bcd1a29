"""
The one error of this package, and the place where every library's error becomes it.

No text that leaves here holds a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import amqp
import redis
from kombu.exceptions import KombuError

#: What redis-py, kombu and py-amqp raise for a broker that is away, refuses or answers
#: nonsense. ``OSError`` holds the sockets' own errors and their timeouts.
LIBRARY_ERRORS: tuple[type[Exception], ...] = (
    redis.RedisError,
    KombuError,
    amqp.AMQPError,
    amqp.exceptions.MessageNacked,
    OSError,
)


class BrokerUnavailableError(ConnectionError):
    """The broker is away, refuses or is out of memory; always safe to try again."""

    code = "broker_unavailable"


def masked(broker_url: str) -> str:
    """Return *broker_url* without its password, for people and logs."""
    without_user_info = re.sub(r"//.*@", "//**@", broker_url)
    return re.sub(r"(password=)[^&]*", r"\1**", without_user_info)


@contextmanager
def broker_errors(broker_url: str) -> Iterator[None]:
    """
    Turn what the libraries raise into ``BrokerUnavailableError``.

    Raises:
        BrokerUnavailableError: Names the broker (masked) and what it said.
    """
    try:
        yield
    except BrokerUnavailableError:
        raise
    except LIBRARY_ERRORS as exc:
        said = f"{type(exc).__name__}: {exc}"
        raise BrokerUnavailableError(f"{masked(broker_url)}: {said}") from exc
