"""
The processes of a session: whatever somebody started, and what those started.

Read from ``/proc``; a process that made a session of its own is no part of it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_POLL_SECONDS = 0.02


def wait_until_empty(session: int, *, seconds: float) -> None:
    """Wait until nothing runs in a session; what still does then is killed."""
    deadline = time.monotonic() + seconds
    while members := list(_members(session)):
        if time.monotonic() > deadline:
            for pid in members:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            return
        time.sleep(_POLL_SECONDS)


def _members(session: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        # Gone, or somebody else's and hidden.
        with suppress(OSError):
            # Past the command's name, which may hold anything: state, parent, group,
            # session.
            stat = (entry / "stat").read_text(errors="replace").rpartition(")")[2]
            state, _, _, its_session, *_ = stat.split()
            if int(its_session) == session and state not in {"Z", "X"}:
                yield int(entry.name)
