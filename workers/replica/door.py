"""
Whether a replica takes messages: while nobody keeps its door shut.

Several may, each for a reason of its own. Drops nothing that is inside already.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class Door:
    """
    Safe to use from any thread.

    Args:
        on_change: Called with whether messages are to be taken, when that changes.
    """

    def __init__(self, on_change: Callable[[bool], None]) -> None:
        self._on_change = on_change
        self._shut_by: set[str] = set()
        self._lock = threading.Lock()

    def set(self, who: str, *, is_open: bool) -> None:
        """Let *who* keep it shut, or no more."""
        with self._lock:
            was_open = not self._shut_by
            if is_open:
                self._shut_by.discard(who)
            else:
                self._shut_by.add(who)
            if was_open != (not self._shut_by):
                self._on_change(not was_open)
