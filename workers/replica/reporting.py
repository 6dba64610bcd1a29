"""
Everything a replica says: reports and heartbeats, in order, one speaker at a time.

Owns the spool, the connection to the broker and the pace of the heartbeats. A report is
never dropped while the process lives: a thread tries for ever, and a full spool blocks
whoever wants to add to it. Where the broker is quick, whoever adds a report also sends
it: to wake the thread, and to wait for it, would cost more. It does not know what a
report means.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.contracts.alive import Alive
from orchestrator.contracts.broker_words import words
from orchestrator.contracts.report import Report
from orchestrator.contracts.signature import body_signature
from orchestrator.contracts.wire import SIGNATURE_HEADER
from workers.replica.outbox import Outbox, Signed

log = logging.getLogger(__name__)

#: Of one write. Beyond it a round trip is no longer what costs.
_BATCH_REPORTS = 200
_FIRST_PAUSE_SECONDS = 0.1
#: A broker that is back is noticed within this time.
_LONGEST_PAUSE_SECONDS = 2.0
#: Where the broker takes a message within this time, whoever has one says it by itself:
#: on one machine it takes less than a millisecond, on a busy one a few. Beyond it the
#: next analysis would wait for the link.
_QUICK_SECONDS = 0.01
#: Reports that are due later wait for each other so long: a fifth of the time after
#: which they are due, and nothing that anybody who looks at a task would notice.
_LATER_SECONDS = 0.05
_MANIFEST_SECONDS = 60.0


class ComposeAlive(Protocol):
    """Builds the heartbeat of this moment."""

    def __call__(self, *, sequence: int, manifest: bool, leaving: bool) -> Alive: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """
    How to reach the broker.

    ``open_outbox``: connects; may raise.
    ``secret``: the worker's, which signs whatever is said.
    """

    open_outbox: Callable[[], Outbox]
    secret: str


@dataclass(frozen=True, slots=True)
class _Waiting:
    report: Report
    on_confirmed: Callable[[], None] | None


class Reporter:
    """
    The thread that speaks for a replica, and those that speak while it rests.

    Args:
        line: How to reach the broker, and the secret that signs the heartbeats.
        compose: Called in the thread for each heartbeat.
        heartbeat_seconds: From one heartbeat to the next.
        capacity: Reports that may wait; :meth:`put` blocks above it.
    """

    def __init__(
        self,
        line: Line,
        compose: ComposeAlive,
        *,
        heartbeat_seconds: float,
        capacity: int,
    ) -> None:
        self._line = line
        self._compose = compose
        self._heartbeat_seconds = heartbeat_seconds
        self._capacity = capacity
        self._spool: deque[_Waiting] = deque()
        self._later: deque[tuple[float, Callable[[], Report | None]]] = deque()
        # Of one lock: who waits for room is not woken for what is to be said.
        lock = threading.RLock()
        self._changed = threading.Condition(lock)
        self._room = threading.Condition(lock)
        self._closing = False
        self._abandoned = threading.Event()
        self._sequence = 0
        self._alive_due = time.monotonic()
        self._manifest_due = self._alive_due
        self._outbox: Outbox | None = None
        self._pause_seconds = 0.0
        # Whoever has it speaks.
        self._mouth = threading.Lock()
        self._is_quick = False
        self._thread = threading.Thread(
            target=self._run, name="assay-reporter", daemon=True
        )

    def start(self) -> None:
        """Begin to speak; the first heartbeat goes out at once."""
        self._thread.start()

    def put(self, report: Report, on_confirmed: Callable[[], None]) -> None:
        """
        Add *report*; wait while the spool is full.

        Args:
            report: Sent after everything added before it.
            on_confirmed: Called once the broker has it, by whoever sent it.
        """
        with self._changed:
            self._room.wait_for(self._has_room)
            self._spool.append(_Waiting(report, on_confirmed))
            speaks = self._is_quick and self._mouth.acquire(blocking=False)
            if not speaks:
                self._changed.notify_all()
        if speaks:
            self._speak_here()

    def put_later(
        self, delay_seconds: float, make: Callable[[], Report | None]
    ) -> None:
        """
        Call *make* after a delay, and send what it returns, if anything.

        Args:
            delay_seconds: The same in every call: they are kept in call order.
            make: Called under the spool's lock: what it sees cannot be overtaken by a
                report that is put later.
        """
        with self._changed:
            first = not self._later
            self._later.append((time.monotonic() + delay_seconds, make))
            if first:
                self._changed.notify_all()

    def close(self, timeout_seconds: float) -> bool:
        """
        Send what waits, then the heartbeat that says goodbye.

        Returns:
            Whether everything went out in time; if not, the leases will tell.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_seconds)
        flushed = not self._thread.is_alive()
        self._abandoned.set()
        with self._changed:
            self._changed.notify_all()
            self._room.notify_all()
        if not flushed:
            log.warning("reports.abandoned", extra={"count": len(self._spool)})
        return flushed

    def _speak_here(self) -> None:
        """Send what waits, in a thread that has the mouth and something to say."""
        try:
            self._send_reports()
        except Exception:  # noqa: BLE001  (the thread meets it again, and says so)
            self._is_quick = False
        finally:
            self._mouth.release()
            with self._changed:
                if self._spool:
                    self._changed.notify_all()

    def _has_room(self) -> bool:
        return len(self._spool) < self._capacity or self._abandoned.is_set()

    def _run(self) -> None:
        while not self._abandoned.is_set():
            try:
                self._wait_for_work()
                with self._mouth:
                    finished = self._speak()
            except Exception as error:  # noqa: BLE001  (this loop must outlive anything)
                self._back_off(error)
                continue
            self._note_success()
            if finished:
                break
        with self._mouth:
            self._disconnect()

    def _wait_for_work(self) -> None:
        with self._changed:
            while not (self._spool or self._closing):
                now = time.monotonic()
                self._add_what_is_due(now)
                if self._spool or self._alive_due <= now:
                    return
                self._changed.wait(self._next_due(now) - now)
            self._add_what_is_due(time.monotonic())

    def _next_due(self, now: float) -> float:
        if not self._later:
            return self._alive_due
        return min(self._alive_due, max(self._later[0][0], now + _LATER_SECONDS))

    def _add_what_is_due(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            _, make = self._later.popleft()
            report = make()
            if report is not None:
                self._spool.append(_Waiting(report, None))

    def _speak(self) -> bool:
        self._send_reports()
        with self._changed:
            leaving = self._closing and not self._spool
        if leaving or time.monotonic() >= self._alive_due:
            self._say_alive(leaving=leaving)
        return leaving

    def _send_reports(self) -> None:
        with self._changed:
            batch = [
                self._spool[index]
                for index in range(min(_BATCH_REPORTS, len(self._spool)))
            ]
        if not batch:
            return
        began = time.monotonic()
        self._publish([self._signed(waiting.report) for waiting in batch])
        took = time.monotonic() - began
        self._is_quick = took < _QUICK_SECONDS
        self._confirm(batch)

    def _confirm(self, batch: Sequence[_Waiting]) -> None:
        with self._changed:
            for _ in batch:
                self._spool.popleft()
            self._room.notify_all()
        for waiting in batch:
            if waiting.on_confirmed is not None:
                waiting.on_confirmed()

    def _say_alive(self, *, leaving: bool) -> None:
        now = time.monotonic()
        with_manifest = now >= self._manifest_due
        # A number is used once, even if its message may not have arrived: a reader
        # takes a number that it has seen for a replay.
        self._sequence += 1
        alive = self._compose(
            sequence=self._sequence, manifest=with_manifest, leaving=leaving
        )
        self._publish([self._signed(alive)])
        self._alive_due = now + self._heartbeat_seconds
        if with_manifest:
            self._manifest_due = now + _MANIFEST_SECONDS

    def _signed(self, message: Report | Alive) -> Signed:
        body = message.model_dump_json(exclude_defaults=False).encode()
        return body, {SIGNATURE_HEADER: body_signature(self._line.secret, body)}

    def _publish(self, messages: Sequence[Signed]) -> None:
        if self._outbox is None:
            self._outbox = self._line.open_outbox()
        self._outbox.send(messages)

    def _back_off(self, error: Exception) -> None:
        if not self._pause_seconds:
            fields = {"waiting_reports": len(self._spool), "error": words(error)}
            log.warning("broker.lost", extra=fields)
        self._is_quick = False
        with self._mouth:
            self._disconnect()
        self._pause_seconds = min(
            max(self._pause_seconds * 2, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS
        )
        self._abandoned.wait(self._pause_seconds)

    def _note_success(self) -> None:
        if self._pause_seconds:
            log.warning("broker.regained")
            self._pause_seconds = 0.0

    def _disconnect(self) -> None:
        outbox, self._outbox = self._outbox, None
        if outbox is None:
            return
        try:
            outbox.close()
        except Exception:
            log.debug("broker.close_failed", exc_info=True)
