"""
When a replica steps aside: after troubles of its own in a row, for a while.

What it cannot do goes back to the backlog, free, and would come to it again at once.
So it waits, and then until a probe succeeds, before it takes more, and somebody else
gets a chance. Gives nothing back by itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: One may be a message's fault; three in a row are the replica's.
_FREE_TROUBLES = 2
_FIRST_PAUSE_SECONDS = 1.0
#: Soon after the setting was mended elsewhere, work goes on.
_LONGEST_PAUSE_SECONDS = 30.0
_LOOK_SECONDS = 0.1


class Aside:
    """What all slots of a replica know of its troubles; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._until = 0.0
        self._last: str | None = None
        self._is_aside = False

    def note_success(self) -> None:
        """Something worked: the count begins anew."""
        with self._lock:
            self._in_a_row = 0
            self._until = 0.0

    def note_trouble(self, why: str) -> float:
        """Count a trouble; return for how many seconds to take nothing."""
        with self._lock:
            self._last = why
            left = self._until - time.monotonic()
            if left > 0:
                # Of another slot, at the same time: it is the same trouble.
                return left
            self._in_a_row += 1
            seconds = pause_seconds(self._in_a_row)
            self._until = time.monotonic() + seconds
            return seconds

    def seconds_left(self) -> float:
        """Return for how long to take nothing, from now on."""
        with self._lock:
            return max(0.0, self._until - time.monotonic())

    def step(self) -> bool:
        """Step aside; return ``False`` if it stands there already."""
        with self._lock:
            stands, self._is_aside = self._is_aside, True
            return not stands

    def come_back(self) -> None:
        """Stand aside no more; the next trouble is one more in the row."""
        with self._lock:
            self._is_aside = False

    def why(self) -> str | None:
        """Return why it stands aside: the last trouble; ``None`` if it does not."""
        with self._lock:
            return self._last if self._is_aside else None


def pause_seconds(in_a_row: int) -> float:
    """Return the pause after so many troubles: 0, 0, 1, 2, 4 … at most 30."""
    over = in_a_row - _FREE_TROUBLES
    if over <= 0:
        return 0.0
    # The exponent is bounded: two to the thousandth is no float any more.
    return min(_FIRST_PAUSE_SECONDS * 2.0 ** min(over - 1, 10), _LONGEST_PAUSE_SECONDS)


def wait(seconds: float, *, unless: Callable[[], bool]) -> None:
    """Wait, in the thread of a slot, *unless* something else matters more."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not unless():
        time.sleep(_LOOK_SECONDS)
