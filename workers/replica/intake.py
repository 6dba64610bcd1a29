"""
Takes messages from the worker's queue, many in one call, and hands them to the slots.

Owns two kinds of threads: one that reads, one for each slot. Knows the broker by its
``Inbox`` alone, and Celery not at all.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from orchestrator.contracts.node.messages import UnreadableError, note_discarded
from workers.replica.gate import Gate, Message
from workers.replica.inbox import Bell, Inbox

log = logging.getLogger(__name__)

#: What was finished within so many seconds is soon finished again: so many more wait.
_RECENT_SECONDS = 0.05
#: Messages that wait, for each slot, at most.
_MOST_PER_SLOT = 32

_FIRST_PAUSE_SECONDS = 0.1
#: A broker that is back is noticed within this time.
_LONGEST_PAUSE_SECONDS = 2.0


class Watcher(Protocol):
    """Is told how each message fares, by whichever thread handles it."""

    def received(self, message: Message) -> None:
        """It waits for a slot."""

    def lost(self, error: Exception) -> None:
        """The broker did not do what it was asked."""

    def regained(self) -> None:
        """It does again."""


class Intake:
    """
    Args:
        open_inbox: Connects to the broker; may raise. The bell is rung when a message
            is taken up.
        gate: Reads messages, and refuses those that are none of ours.
        slots: Analyses at a time.
        perform: Does what one message asks, in a slot's thread.
        rest: Called in a slot's thread that has had nothing to do for a moment.
    """

    def __init__(
        self,
        open_inbox: Callable[[Bell], Inbox],
        gate: Gate,
        *,
        slots: int,
        perform: Callable[[Message], None],
        rest: Callable[[], None],
        watcher: Watcher,
    ) -> None:
        self._open_inbox = open_inbox
        self._gate = gate
        self._perform = perform
        self._rest = rest
        self._watcher = watcher
        self._bell = Bell()
        self._inbox: Inbox | None = None
        self._waiting: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._finished: deque[float] = deque(maxlen=_MOST_PER_SLOT * slots)
        self._slots = slots
        self._is_open = threading.Event()
        self._ending = threading.Event()
        self._pause_seconds = 0.0
        self._reader = threading.Thread(
            target=self._read, name="assay-intake", daemon=True
        )
        self._hands = [
            threading.Thread(target=self._work, name=f"assay-slot-{n}", daemon=True)
            for n in range(slots)
        ]

    @property
    def is_open(self) -> bool:
        """Whether messages are taken."""
        return self._is_open.is_set() and not self._ending.is_set()

    @property
    def room(self) -> int:
        """How many more messages may wait."""
        since = monotonic() - _RECENT_SECONDS
        recent = sum(when > since for when in tuple(self._finished))
        most = min(self._slots + recent, _MOST_PER_SLOT * self._slots)
        return most - self._waiting.qsize()

    def start(self) -> None:
        """Begin; nothing is taken before it is open."""
        for thread in (self._reader, *self._hands):
            thread.start()

    def set_open(self, is_open: bool) -> None:  # noqa: FBT001  (a callback)
        """Take messages from now on, or none."""
        if is_open:
            self._is_open.set()
        else:
            self._is_open.clear()

    def announce_end(self) -> None:
        """Take none any more. For a signal handler: it takes no lock that waits."""
        self._ending.set()

    def end(self, *, within: float) -> None:
        """Return when nothing more is read; what waits is with the slots."""
        self._ending.set()
        if self._reader.is_alive():
            self._reader.join(within)
        for _ in self._hands:
            self._waiting.put(None)

    def _read(self) -> None:
        while not self._ending.is_set():
            try:
                self._take()
            except Exception as error:  # noqa: BLE001  (this loop must outlive anything)
                self._back_off(error)
        self._close()

    def _take(self) -> None:
        if self._inbox is None:
            if not self._is_open.wait(1):
                return
            self._inbox = self._open_inbox(self._bell)
        found = self._inbox.take(self)
        if self._pause_seconds:
            self._pause_seconds = 0.0
            self._watcher.regained()
        for parcel in found:
            try:
                message = self._gate.read(parcel)
            except UnreadableError as error:
                note_discarded(str(error), parcel.content)
                parcel.note_taken_up()
                continue
            self._watcher.received(message)
            self._waiting.put(message)

    def _work(self) -> None:
        while (message := self._next()) is not None:
            message.parcel.note_taken_up()
            try:
                self._perform(message)
            except Exception:
                # A slot's thread is there for the next.
                log.exception("attempt.broken")
            self._finished.append(monotonic())

    def _next(self) -> Message | None:
        try:
            return self._waiting.get(timeout=_RECENT_SECONDS)
        except queue.Empty:
            self._rest()
            return self._waiting.get()

    def _back_off(self, error: Exception) -> None:
        self._close()
        if not self._pause_seconds:
            self._watcher.lost(error)
        self._pause_seconds = min(
            max(self._pause_seconds * 2, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS
        )
        self._ending.wait(self._pause_seconds)

    def _close(self) -> None:
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            try:
                inbox.close()
            except Exception:
                log.debug("broker.close_failed", exc_info=True)
