"""
Asking again an API that is away for a while: it may be restarted, or its database.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from orchestrator.domain.errors import LimitExceededError, UnavailableError

T = TypeVar("T")

#: Seconds for which it is asked again: longer than a restart takes, and an upgrade.
PATIENCE_SECONDS: Final = 300.0

#: Seconds from one question to the next, where the answer names none.
AGAIN_SECONDS: Final = 2.0


def _ignore(_: UnavailableError) -> None:
    """Say nothing of it."""


def patiently(
    ask: Callable[[], T],
    *,
    seconds: float = PATIENCE_SECONDS,
    note_away: Callable[[UnavailableError], None] = _ignore,
) -> T:
    """
    Return what *ask* returns, asked again while nobody can answer.

    Args:
        seconds: For how long.
        note_away: Called once, with the first of the errors, if it is asked again.

    Raises:
        UnavailableError: Nobody could, in that time.
        LimitExceededError: It had had enough for longer than that.
        AssayError: It said no.
    """
    deadline = time.monotonic() + seconds
    is_noted = False
    while True:
        try:
            return ask()
        except LimitExceededError as error:
            pause = float(error.retry_after_seconds)
            if time.monotonic() + pause > deadline:
                raise
        except UnavailableError as error:
            pause = AGAIN_SECONDS
            if time.monotonic() + pause > deadline:
                raise
            if not is_noted:
                is_noted = True
                note_away(error)
        time.sleep(pause)
