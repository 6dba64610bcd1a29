"""
Whether a replica takes nothing more because somebody wants so: it finishes what runs,
gives back what waits, and stays until it is told to end.
"""

from __future__ import annotations

import logging

from workers.replica.door import Door

log = logging.getLogger(__name__)

#: Who keeps the door shut meanwhile.
_WHO = "drain"


class Drain:
    """What the stops have said of it; they come one at a time, to Celery's thread."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._is_on = False

    @property
    def is_on(self) -> bool:
        """Whether nothing more is taken."""
        return self._is_on

    def set(self, *, on: bool) -> bool:
        """Begin, or end; return whether that changed anything."""
        if on == self._is_on:
            return False
        self._is_on = on
        self._door.set(_WHO, is_open=not on)
        log.info("replica.drains" if on else "replica.takes_work")
        return True
