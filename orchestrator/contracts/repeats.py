"""
The same trouble is said once, and then once a minute with how often: a broker that is
away for an hour must not fill a disk, nor hide what else is said.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from typing_extensions import override

#: Seconds from one line about the same to the next.
_PAUSE_SECONDS = 60.0

#: Kinds of trouble that are remembered; above it the oldest are said anew.
_REMEMBERED = 1_000

#: Names of what is raised, by whichever library, because something is away: where it
#: was in the code when it noticed tells nobody anything.
_AWAY = frozenset({"OSError", "RedisError", "AMQPError", "OperationalError"})

#: What our own code says beside the text of a line.
_OWN = ("reason", "error", "why", "queue")


@dataclass(slots=True)
class _Said:
    at: float
    since: int = 0


class Repeats:
    """
    What was said within the last minute; safe to use from any thread.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[Hashable, _Said] = {}
        self._lock = threading.Lock()

    def count(self, key: Hashable) -> int | None:
        """
        Return how often it happened since it was last said, this time included.

        ``None``: it was said within the last minute, and is not to be said again.
        """
        now = self._clock()
        with self._lock:
            said = self._said.get(key)
            if said is not None and now - said.at < _PAUSE_SECONDS:
                said.since += 1
                return None
            self._said.pop(key, None)
            self._said[key] = _Said(at=now)
            if len(self._said) > _REMEMBERED:
                del self._said[next(iter(self._said))]
        return 1 if said is None else said.since + 1


class OncePerMinute(logging.Filter):
    """
    Of records of the standard library: warnings and errors once a minute each.

    Two are the same if their text is before anything is filled in. A traceback is left
    out where something is only away.

    Args:
        about: What else has to be the same, asked for each record.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        about: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__()
        self._repeats = Repeats(clock)
        self._about = about

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        key = (_key(record), repr(self._about()))
        _shorten(record)
        if record.levelno < logging.WARNING:
            return True
        times = self._repeats.count(key)
        if times is not None and times > 1:
            record.times = times
        return times is not None


def _key(record: logging.LogRecord) -> Hashable:
    kind = record.exc_info[0] if record.exc_info else None
    # What our own say stands beside the text.
    own = (getattr(record, name, None) for name in _OWN)
    return (record.name, record.levelno, str(record.msg), kind, *map(repr, own))


def _shorten(record: logging.LogRecord) -> None:
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return
    if _is_away(error):
        first = str(error).partition("\n")[0]
        record.error = f"{type(error).__name__}: {first}"
        record.exc_info = record.exc_text = None
        # Beat writes where it was into the text.
        record.msg, record.args = record.getMessage().partition("\n")[0], None


def _is_away(error: BaseException | None) -> bool:
    # Beat's own error has what happened behind it.
    while error is not None:
        if _AWAY & {kind.__name__ for kind in type(error).__mro__}:
            return True
        error = error.__cause__ or error.__context__
    return False
