"""
Which slots of a replica are free, and the attempts that have all of them to themselves.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Slots:
    """
    Given out one at a time, or all to one attempt; safe to use from any thread.

    Args:
        count: How many analyses run at a time.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._free = list(range(count))
        self._changed = threading.Condition()
        self._want_all = 0

    @contextmanager
    def taken(self, *, alone: bool = False) -> Iterator[int]:
        """
        Wait for a slot, and keep it for as long as the block takes.

        Args:
            alone: Wait until nothing else runs, and let nothing else run meanwhile.
        """
        taken = self._take_all() if alone else self._take_one()
        try:
            yield taken[0]
        finally:
            with self._changed:
                self._free += taken
                self._changed.notify_all()

    def _take_one(self) -> list[int]:
        with self._changed:
            # Whoever wants all would else wait for ever: as long as somebody works, one
            # slot or another is taken again by whoever gave it back.
            self._changed.wait_for(lambda: self._free and not self._want_all)
            return [self._free.pop()]

    def _take_all(self) -> list[int]:
        with self._changed:
            self._want_all += 1
            try:
                self._changed.wait_for(lambda: len(self._free) == self._count)
            finally:
                self._want_all -= 1
            taken, self._free = self._free, []
            return taken
