"""
Of what our own processes say through structlog: the same trouble once a minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from structlog.typing import EventDict, WrappedLogger

from orchestrator.contracts.repeats import Repeats

#: Trouble of all who meet it: what they were about is no other cause.
_SHARED = frozenset({"database.unavailable", "broker.unavailable", "broker.refused"})
_WHOSE = frozenset({"path", "method", "job", "task", "attempt", "count", "step"})

_LEVELS = frozenset({"warning", "error", "critical"})


class OncePerMinute:
    """
    A processor of structlog that drops a warning or an error which is, field by field,
    one that was written within the last minute.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._repeats = Repeats(clock)

    def __call__(
        self, _logger: WrappedLogger, level: str, event: EventDict
    ) -> EventDict:
        if level not in _LEVELS:
            return event
        times = self._repeats.count(_key(event))
        if times is None:
            raise structlog.DropEvent
        if times > 1:
            event["times"] = times
        return event


def _key(event: EventDict) -> tuple[object, ...]:
    """Return what makes two lines the same: all of it; of an error, its kind."""
    left_out = _WHOSE if event.get("event") in _SHARED else frozenset()
    return tuple(
        (name, repr(_kind(value)) if name == "exc_info" else repr(value))
        for name, value in sorted(event.items())
        if name not in left_out
    )


def _kind(exc_info: object) -> object:
    if exc_info is True:
        return None
    if isinstance(exc_info, BaseException):
        return type(exc_info)
    return exc_info[0] if isinstance(exc_info, tuple) else exc_info
