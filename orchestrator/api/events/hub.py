"""
Everybody who listens in this process, and what they have been told lately.

For the event loop alone, but for what the ear's thread hands over. A listener holds no
thread and no connection; one that does not keep up is let go, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from orchestrator.api.events.ear import Ear
from orchestrator.api.events.event import Asked, Event, Wanted, reset
from orchestrator.api.http.threads import in_thread
from orchestrator.db.unit_of_work import Database
from orchestrator.domain.errors import BusyError
from orchestrator.domain.viewer import Viewer
from orchestrator.flow.ports import Engine

#: Events that are kept for who was cut off for a moment.
_RING_MAX = 10_000

#: Events that a listener may be behind.
_BEHIND_MAX = 1_000

#: Each costs some 20 KiB.
_LISTENERS_MAX = 2_000

#: Seconds in which the database should begin to tell.
_HEAR_SECONDS = 5.0

#: Seconds for which it goes on after the last listener left: who was cut off for a
#: moment comes again, and has missed nothing.
_LINGER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Numbered:
    """An event as it was told; ``id``: what a client names when it comes again."""

    id: str
    event: Event


class Listener:
    """One who listens; made by :meth:`Hub.join`."""

    def __init__(self, viewer: Viewer, wanted: Wanted) -> None:
        self.viewer = viewer
        self.wanted = wanted
        self.is_cut_off = False
        self._queue: asyncio.Queue[Numbered] = asyncio.Queue(_BEHIND_MAX)

    async def next(self, within: float) -> Numbered | None:
        """Return what is told next; ``None``: nothing was, in so many seconds."""
        try:
            async with asyncio.timeout(within):
                return await self._queue.get()
        except TimeoutError:
            return None

    def tell(self, told: Numbered) -> None:
        """Tell it, if it may and wants to know."""
        event = told.event
        if event.kind != "reset" and not (
            self.wanted.has(event) and event.may_be_seen_by(self.viewer)
        ):
            return
        try:
            self._queue.put_nowait(told)
        except asyncio.QueueFull:
            self.is_cut_off = True


class Hub:
    """One per process."""

    def __init__(self, database: Database, engine: Engine) -> None:
        self._database = database
        self._engine = engine
        self._listeners: set[Listener] = set()
        # Each under what it asks for, so that an event is held against few filters.
        self._asking: dict[Asked, set[Listener]] = {}
        self._ring: deque[Numbered] = deque(maxlen=_RING_MAX)
        self._name = secrets.token_hex(4)
        self._count = 0
        self._ear: Ear | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._beginning = asyncio.Lock()
        # Between the loop and the ear's thread: one of them ends what the other needs.
        self._lock = threading.Lock()
        self._left_at = self._left_all_at = 0.0
        self._is_partial = False
        self._is_closed = False

    async def join(
        self, viewer: Viewer, wanted: Wanted, *, last_id: str | None = None
    ) -> Listener:
        """
        Let somebody listen from now on, or from after *last_id*.

        Raises:
            BusyError: As many listen as one process has room for.
        """
        if len(self._listeners) >= _LISTENERS_MAX:
            raise BusyError("too many listen already; try again in a moment")
        listener = Listener(viewer, wanted)
        if not wanted.jobs and self._is_partial:
            # While everybody had a job of his own, all else went unread.
            self._begin_anew()
        self._listeners.add(listener)
        for asked in wanted.asked():
            self._asking.setdefault(asked, set()).add(listener)
        try:
            await self._hear()
        except BaseException:
            self.leave(listener)
            raise
        if last_id is not None:
            self._catch_up(listener, last_id)
        return listener

    def close(self) -> None:
        """Hear nothing any more; for any thread."""
        self._is_closed = True

    def leave(self, listener: Listener) -> None:
        """Let somebody go."""
        self._listeners.discard(listener)
        self._left_at = time.monotonic()
        if not listener.wanted.jobs:
            self._left_all_at = self._left_at
        for asked in listener.wanted.asked():
            asking = self._asking.get(asked, set())
            asking.discard(listener)
            if not asking:
                self._asking.pop(asked, None)

    async def _hear(self) -> None:
        async with self._beginning:
            with self._lock:
                if self._ear is not None:
                    return
            self._loop = asyncio.get_running_loop()
            # What was told while nobody listened is not known here.
            self._begin_anew()
            self._ear = Ear(
                self._database,
                self._engine,
                wanted_jobs=self._wanted_jobs,
                tell=self._tell_from_thread,
                may_stop=self._may_stop,
            )
            await in_thread(partial(self._ear.start, _HEAR_SECONDS))

    def _begin_anew(self) -> None:
        self._name, self._count = secrets.token_hex(4), 0
        self._ring.clear()
        self._is_partial = False

    def _wanted_jobs(self) -> set[UUID] | None:
        # Asked in the ear's thread: of what is being changed it sees either.
        lately = self._left_all_at + _LINGER_SECONDS > time.monotonic()
        if lately or any(not each.wanted.jobs for each in tuple(self._listeners)):
            return None
        self._is_partial = True
        return {
            value
            for name, value in tuple(self._asking)
            if name == "job" and isinstance(value, UUID)
        }

    def _may_stop(self) -> bool:
        lately = self._left_at + _LINGER_SECONDS > time.monotonic()
        with self._lock:
            if not self._is_closed and (self._listeners or lately):
                return False
            # Who comes now begins anew.
            self._ear = None
            return True

    def _tell_from_thread(self, events: list[Event]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, events)

    def _tell(self, events: Iterable[Event]) -> None:
        for event in events:
            self._count += 1
            told = Numbered(f"{self._name}-{self._count}", event)
            self._ring.append(told)
            for listener in self._listeners_of(event):
                listener.tell(told)

    def _listeners_of(self, event: Event) -> Iterable[Listener]:
        if event.kind == "reset":
            return tuple(self._listeners)
        return (
            listener
            for about in event.about()
            for listener in tuple(self._asking.get(about, ()))
        )

    def _catch_up(self, listener: Listener, last_id: str) -> None:
        ring = tuple(self._ring)
        for place, told in enumerate(ring):
            if told.id == last_id:
                for missed in ring[place + 1 :]:
                    listener.tell(missed)
                return
        now = Numbered(f"{self._name}-{self._count}", reset(0.0))
        listener.tell(now)
