"""
How a command that has started something ends: everything that it started first.

Owns the signals of the terminal; what there is to stop is the caller's.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Protocol

from orchestrator.terminal.output import tell

_AGAIN_SECONDS = 1

_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stoppable(Protocol):
    """What was started, and is to be stopped whatever happens."""

    @property
    def is_running(self) -> bool:
        """Whether anything of it runs."""

    def stop(self) -> None:
        """Stop all of it."""


def interrupt_on_signals() -> None:
    """Let every way to end a command be Ctrl-C's, on which everything is stopped."""
    for number in _ENDINGS:
        # What nohup or a shell's & has set to be ignored stays so.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def ignore_endings() -> None:
    """From here on nothing breaks off what is done; it has to end by itself."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)


def end(started: Stoppable) -> None:
    """Stop everything; whoever asks again meanwhile waits for it like everybody."""
    ignore_endings()
    try:
        if started.is_running:
            tell("stopping everything")
    finally:
        # The terminal may be gone.
        started.stop()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # A second one would break off the stopping that the first one began.
    ignore_endings()
    # This one may be swallowed, as in a destructor: it comes again until they stop.
    signal.signal(signal.SIGALRM, _interrupt_again)
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS, _AGAIN_SECONDS)
    raise KeyboardInterrupt


def _interrupt_again(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
