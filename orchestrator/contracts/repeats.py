"""
What was said within the last minute, so that it is said once, and then how often: a
broker that is away for an hour must not fill a disk, nor hide what else is said.

Both sides log by it. It writes nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

from typing_extensions import override

#: Seconds from one line about the same to the next.
_PAUSE_SECONDS = 60.0

#: Kinds of trouble that are remembered; above it the oldest are said anew.
_REMEMBERED = 1_000

#: Each line of these is about a message of its own, however much two are alike.
_OF_MESSAGES: Final = "orchestrator.contracts.node.messages"

#: What the standard library puts into a record; the rest are a line's own fields.
_STANDARD: Final = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
)


@dataclass(slots=True)
class _Said:
    at: float
    since: int = 0


class Repeats:
    """
    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[Hashable, _Said] = {}

    def __len__(self) -> int:
        return len(self._said)

    def times(self, what: Hashable) -> int:
        """
        Return how often *what* came since it was last to be said, this time included.

        0: it was said within the last minute, and is not to be said now.
        """
        now = self._clock()
        said = self._said.get(what)
        if said is not None and now - said.at < _PAUSE_SECONDS:
            said.since += 1
            return 0
        self._said.pop(what, None)
        self._said[what] = _Said(at=now)
        if len(self._said) > _REMEMBERED:
            del self._said[next(iter(self._said))]
        return 1 if said is None else said.since + 1


class OncePerMinuteRecords(logging.Filter):
    """
    Drops a library's warning or error that is, field by field, one of the last minute.

    Args:
        but: Loggers whose lines, and those of all below them, are always written. Those
            about a message that was dropped are so anyway.
    """

    def __init__(self, *but: str) -> None:
        super().__init__()
        self._but = tuple(f"{name}." for name in (*but, _OF_MESSAGES))
        self._repeats = Repeats()

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Whether *record* is to be written."""
        is_left_alone = f"{record.name}.".startswith(self._but)
        if record.levelno < logging.WARNING or is_left_alone:
            return True
        kind = record.exc_info[0] if record.exc_info else None
        fields = {
            name: value for name, value in vars(record).items() if name not in _STANDARD
        }
        said = record.name, record.getMessage(), kind, repr(fields)
        return self._repeats.times(said) > 0
