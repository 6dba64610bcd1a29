"""
What a rule is tried on: the program, its desk and its house, and waiting for what
should come.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

from typing_extensions import override

from orchestrator.check.desk import Desk, Given
from orchestrator.check.house import House, Manner
from orchestrator.check.program import Program
from orchestrator.contracts.alive import Alive
from orchestrator.contracts.report import Report

#: Seconds for anything that a program should do soon.
PATIENCE_SECONDS = 30.0

#: Seconds for what it should not do: nothing tells that it has thought better of it.
QUIET_SECONDS = 0.7

_LOOK_SECONDS = 0.02

_Value = TypeVar("_Value")


class BrokenRuleError(Exception):
    """The program did not do what a rule says; the message says what it did."""


class NotTriedError(Exception):
    """A rule can not be tried here; the message says why."""


@dataclass(kw_only=True)
class Scene:
    """
    ``sample``: bytes that the worker looks at. ``heartbeat_seconds``: what it was told.
    ``cut``: ends the program's connections to the broker; ``None``: nobody can.
    """

    program: Program
    desk: Desk
    house: House
    trap: Trap
    secret: str = field(repr=False)
    sample: bytes
    heartbeat_seconds: float
    cut: Callable[[], None] | None
    slow: list[Manner] = field(default_factory=list)

    def eventually(
        self,
        what: str,
        condition: Callable[[], _Value],
        *,
        seconds: float = PATIENCE_SECONDS,
    ) -> _Value:
        """
        Return what *condition* gives, once that is anything.

        Raises:
            BrokenRuleError: It did not come, or the program ended meanwhile.
        """
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            if not self.program.is_running:
                ended = f"the program ended with {self.program.exit_code}"
                raise BrokenRuleError(f"{ended}; waited for {what}")
            if time.monotonic() > deadline:
                raise BrokenRuleError(f"waited {seconds:.0f} s in vain for {what}")
            time.sleep(_LOOK_SECONDS)
        return found

    def never(self, what: str, condition: Callable[[], object]) -> None:
        """
        See that something does not come for a moment.

        Raises:
            BrokenRuleError: It came.
        """
        deadline = time.monotonic() + QUIET_SECONDS
        while time.monotonic() < deadline:
            if condition():
                raise BrokenRuleError(what)
            time.sleep(_LOOK_SECONDS)

    def end_of(self, given: Given) -> Report:
        """Wait for the end of an attempt; return the report of it."""
        found = self.eventually("the attempt's end", lambda: self.desk.ends(given))
        return found[0]

    def alive(self) -> Alive:
        """Return the newest heartbeat, waiting for the first."""
        return self.eventually("a heartbeat", self.desk.alives)[-1]

    def next_alives(self, count: int) -> Sequence[Alive]:
        """Wait for so many heartbeats more; return them."""
        known = len(self.desk.alives())
        self.eventually(
            f"{count} more heartbeats",
            lambda: len(self.desk.alives()) >= known + count,
        )
        return self.desk.alives()[known:]

    def lists(self, given: Given) -> bool:
        """Whether the newest heartbeat lists an attempt."""
        held = {(each.task_id, each.attempt) for each in self.alive().holds}
        return given.key in held

    def slow_one(self, *, alone: bool = False, timeout_seconds: float = 60.0) -> Given:
        """Give out an assignment whose sample does not come before it is let go."""
        manner = Manner(how="slow")
        self.slow.append(manner)
        return self.desk.assign(
            self.sample, manner=manner, alone=alone, timeout_seconds=timeout_seconds
        )

    def in_hand(self) -> Given:
        """Return an assignment that the program has in hand, and says so."""
        given = self.slow_one()
        self.eventually("its sample to be asked for", lambda: given.manner.asked)
        self.eventually("a heartbeat that lists it", lambda: self.lists(given))
        return given

    def settle(self) -> Given:
        """See that the program does an ordinary assignment; return it."""
        given = self.desk.assign(self.sample)
        report = self.end_of(given)
        if report.kind != "success" and report.reason != "unsupported":
            raise BrokenRuleError(
                f"an ordinary assignment ended as {_kind(report)}: {report.message}"
            )
        return given

    def begin_anew(self) -> None:
        """Start the program again, as if nothing had been."""
        self.desk.forget()
        self.house.refuses = False
        self.program.start()

    def let_go(self) -> None:
        """Let every sample go on that was held back."""
        while self.slow:
            self.slow.pop().go.set()


def refuse_success(report: Report, why: str) -> None:
    """
    See that an attempt did not end well.

    Raises:
        BrokenRuleError: It did.
    """
    if report.kind == "success":
        raise BrokenRuleError(why)


def expect(report: Report, *kinds: str) -> None:
    """
    See that an attempt ended so.

    Raises:
        BrokenRuleError: It ended otherwise.
    """
    if _kind(report) not in kinds and report.kind not in kinds:
        wanted = " or ".join(kinds)
        raise BrokenRuleError(
            f"it ended as {_kind(report)} ({report.message}), not as {wanted}"
        )


def _kind(report: Report) -> str:
    return f"{report.kind}/{report.reason}" if report.reason else report.kind


class Trap:
    """A server that nobody has named: whoever asks it anything is caught."""

    def __init__(self) -> None:
        #: What it was asked.
        self.asked: list[str] = []
        trap = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                trap.asked.append(self.path)
                self.send_error(HTTPStatus.NOT_FOUND)

            @override
            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
