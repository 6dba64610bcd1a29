"""
Says the same trouble once, and then once a minute how often: a broker that is away for
an hour must not fill a disk, nor hide what else is said.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from structlog.typing import EventDict, WrappedLogger

#: Seconds from one line about the same to the next.
_PAUSE_SECONDS = 60.0

#: Kinds of trouble that are remembered; above it the oldest are said anew.
_REMEMBERED = 1_000

_LEVELS = frozenset({"warning", "error", "critical"})


@dataclass(slots=True)
class _Said:
    at: float
    since: int = 0


class OncePerMinute:
    """
    A processor of structlog that drops a warning or an error which is, field by field,
    one that was written within the last minute.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[tuple[object, ...], _Said] = {}

    def __call__(
        self, _logger: WrappedLogger, level: str, event: EventDict
    ) -> EventDict:
        if level not in _LEVELS:
            return event
        key = _key(event)
        now = self._clock()
        said = self._said.get(key)
        if said is not None and now - said.at < _PAUSE_SECONDS:
            said.since += 1
            raise structlog.DropEvent
        if said is not None and said.since:
            event["times"] = said.since + 1
        self._said.pop(key, None)
        self._said[key] = _Said(at=now)
        if len(self._said) > _REMEMBERED:
            del self._said[next(iter(self._said))]
        return event


def _key(event: EventDict) -> tuple[object, ...]:
    """Return what makes two lines the same: all of it; of an error, its kind."""
    return tuple(
        (name, repr(_kind(value)) if name == "exc_info" else repr(value))
        for name, value in sorted(event.items())
    )


def _kind(exc_info: object) -> object:
    if exc_info is True:
        return None
    if isinstance(exc_info, BaseException):
        return type(exc_info)
    return exc_info[0] if isinstance(exc_info, tuple) else exc_info
