"""
A replica that steps aside: it gives back what waits in it, takes nothing, and looks now
and then whether its trouble is over.

When that is, and for how long, is counted in ``aside.py``; what is looked at is
``probe.py``'s.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from workers.replica.aside import Aside, wait
from workers.replica.door import Door
from workers.replica.probe import Probe

log = logging.getLogger(__name__)

#: Who keeps the door shut.
_WHO = "aside"


class Bystander:
    """
    Args:
        release: Called with why, to give back what has not been taken up.
        is_leaving: Whether the replica is about to end, which then matters more.
    """

    def __init__(
        self,
        aside: Aside,
        probe: Probe,
        door: Door,
        *,
        release: Callable[[str | None], None],
        is_leaving: Callable[[], bool],
    ) -> None:
        self._aside = aside
        self._probe = probe
        self._door = door
        self._release = release
        self._is_leaving = is_leaving

    def why(self) -> str | None:
        """Return why nothing is to be taken up; ``None`` if all is well."""
        return self._aside.why()

    def note_success(self) -> None:
        """Something worked."""
        self._aside.note_success()

    def note_trouble(self, why: str) -> None:
        """Something did not, and the replica is to blame."""
        seconds = self._aside.note_trouble(why)
        log.warning("replica.trouble", extra={"reason": why, "aside_seconds": seconds})
        if seconds and self._aside.step():
            self._door.set(_WHO, is_open=False)
            threading.Thread(
                target=self._stand, name="assay-aside", daemon=True
            ).start()

    def hold(self) -> None:
        """Keep a slot from what may still come, for as long as the pause lasts."""
        wait(self._aside.seconds_left(), unless=self._is_leaving)

    def scratch(self) -> str | None:
        """Return what is wrong with the scratch folder, if something is."""
        return self._probe.scratch()

    def _stand(self) -> None:
        self._release(self._aside.why())
        while not self._is_well():
            if self._is_leaving():
                return
        self._aside.come_back()
        self._door.set(_WHO, is_open=True)
        log.info("replica.takes_work_again")

    def _is_well(self) -> bool:
        self.hold()
        why = None if self._is_leaving() else self._probe.all()
        if why is not None:
            seconds = self._aside.note_trouble(why)
            fields = {"reason": why, "aside_seconds": seconds}
            log.warning("replica.still_in_trouble", extra=fields)
        return why is None and not self._is_leaving()
