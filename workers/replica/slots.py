"""
Which slots of a replica are free, and the attempts that have all of them to themselves.
"""

from __future__ import annotations

import queue
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
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(count):
            self._free.put(slot)
        # Two that each held a part of them would wait for each other.
        self._gathering = threading.Lock()

    @contextmanager
    def taken(self, *, alone: bool = False) -> Iterator[int]:
        """
        Wait for a slot, and keep it for as long as the block takes.

        Args:
            alone: Wait until nothing else runs, and let nothing else run meanwhile.
        """
        if alone:
            with self._gathering:
                taken = [self._free.get() for _ in range(self._count)]
        else:
            taken = [self._free.get()]
        try:
            yield taken[0]
        finally:
            for slot in taken:
                self._free.put(slot)
