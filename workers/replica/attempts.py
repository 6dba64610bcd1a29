"""
Which attempts this replica has in hand, and how far each has come.

Owns the registry behind the heartbeat and the stop command. It runs nothing
and reports nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from orchestrator.contracts.alive import Held
from orchestrator.contracts.assignment import AttemptKey


@dataclass(slots=True, eq=False)
class Attempt:
    """
    One attempt in hand.

    ``over``: somebody said that it no longer counts: whatever it does, it reports
    nothing, and the heartbeat does not list it.
    ``stopped``: set to make its sandbox end at once.
    """

    task_id: UUID
    number: int
    token: str
    phase: Literal["received", "running", "unconfirmed"]
    over: bool = False
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def key(self) -> AttemptKey:
        """What identifies it."""
        return self.task_id, self.number


class Attempts:
    """
    The attempts in hand, from delivery until the broker has their last report.

    Every method is short and safe to call from any thread; Celery's main thread, which
    must never wait, calls :meth:`receive`, :meth:`forget_unstarted` and :meth:`stop`.
    """

    def __init__(self) -> None:
        self._in_hand: dict[AttemptKey, Attempt] = {}
        self._busy = 0
        self._changed = threading.Condition()

    def receive(self, task_id: UUID, number: int, token: str) -> None:
        """Note that a message has come; a copy of one in hand changes nothing."""
        with self._changed:
            key = (task_id, number)
            if key not in self._in_hand:
                self._in_hand[key] = Attempt(task_id, number, token, "received")

    def begin(self, task_id: UUID, number: int, token: str) -> Attempt | None:
        """
        Take an attempt up.

        Returns:
            ``None`` when it must not run: it is in hand already, or it was stopped
            before it started.
        """
        with self._changed:
            known = self._in_hand.get((task_id, number))
            if known is None:
                known = Attempt(task_id, number, token, "received")
                self._in_hand[known.key] = known
            if known.over and known.phase == "received":
                self._remove(known)
                return None
            if known.phase != "received":
                return None
            known.token = token
            known.phase = "running"
            self._busy += 1
            return known

    def end(self, attempt: Attempt) -> None:
        """Its run is over and its last report is about to be handed to the reporter."""
        with self._changed:
            attempt.phase = "unconfirmed"

    def leave(self, attempt: Attempt, *, reported: bool) -> None:
        """Nobody works on it any more; unreported, nothing is left to say about it."""
        with self._changed:
            self._busy -= 1
            if not reported:
                self._remove(attempt)
            self._changed.notify_all()

    def forget(self, attempt: Attempt) -> None:
        """Nothing is left to say about it."""
        with self._changed:
            self._remove(attempt)

    def forget_unstarted(self, task_id: UUID, number: int) -> None:
        """Celery itself dropped the message (somebody revoked it in Flower)."""
        with self._changed:
            known = self._in_hand.get((task_id, number))
            if known is not None and known.phase == "received":
                self._remove(known)

    def stop(self, keys: Iterable[AttemptKey]) -> int:
        """Drop those of *keys* that wait, stop those that run; return how many."""
        with self._changed:
            known = [self._in_hand[key] for key in keys if key in self._in_hand]
            for attempt in known:
                attempt.over = True
                attempt.stopped.set()
            return len(known)

    def drop_unstarted(self) -> list[Attempt]:
        """Give up what waits and return it; its messages will find it over."""
        with self._changed:
            waiting = [
                attempt
                for attempt in self._in_hand.values()
                if attempt.phase == "received" and not attempt.over
            ]
            for attempt in waiting:
                attempt.over = True
            return waiting

    def interrupt(self) -> None:
        """Stop everything that runs; what it then reports is its own affair."""
        with self._changed:
            for attempt in self._in_hand.values():
                attempt.stopped.set()

    def held(self) -> tuple[Held, ...]:
        """Return what the heartbeat lists."""
        with self._changed:
            listed = [attempt for attempt in self._in_hand.values() if not attempt.over]
            return tuple(
                Held(
                    task_id=attempt.task_id, attempt=attempt.number, state=attempt.phase
                )
                for attempt in listed
            )

    def wait_until_idle(self, timeout_seconds: float) -> bool:
        """Whether, within this time, every attempt taken up was left."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, timeout_seconds)

    def _remove(self, attempt: Attempt) -> None:
        if self._in_hand.get(attempt.key) is attempt:
            del self._in_hand[attempt.key]
