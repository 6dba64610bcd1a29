"""
Whole trees of processes: who is below whom, and how to leave none alive.

Reads ``/proc``; knows nothing of analyzers. Standard library only.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path

#: Of a file that says something of one process.
_MOST_BYTES = 4096


def children_of(parents: Iterable[int]) -> set[int]:
    """Return the pids whose parent is among *parents*, dead but unreaped ones too."""
    wanted = set(parents)
    return {pid for pid, parent in _parents().items() if parent in wanted}


def has_children(pid: int) -> bool:
    """
    Whether *pid*, of one thread, has any child, dead but unreaped ones too; cheap.
    """
    try:
        return bool(read_file(f"/proc/{pid}/task/{pid}/children").strip())
    except FileNotFoundError:
        # The process is gone, or the kernel was built without this file.
        return bool(children_of([pid]))


def read_file(path: str) -> bytes:
    """
    Return the beginning of a file of the kernel's: with fewer calls than Python's own.
    """
    found = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(found, _MOST_BYTES)
    finally:
        os.close(found)


def kill_trees(roots: Iterable[int]) -> None:
    """
    Kill *roots* and everything below them, however they left their sessions.

    Each is stopped before the next look, so that nothing forks away in between; the
    caller reaps.
    """
    stopped: set[int] = set()
    found = set(roots)
    while found:
        for pid in found:
            _signal(pid, signal.SIGSTOP)
        stopped |= found
        found = children_of(stopped) - stopped
    for pid in stopped:
        _signal(pid, signal.SIGKILL)


def kill_user(uid: int) -> None:
    """
    Kill every process of the user *uid* at once; needs root and a single thread.

    The kernel walks its own list under its own lock: nothing can fork away.
    """
    while _killed_as(uid) != 0:
        # One of its processes was quicker and killed the helper: again.
        pass


def _killed_as(uid: int) -> int:
    helper = os.fork()
    if helper != 0:
        return os.waitpid(helper, 0)[1]
    try:
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        os.kill(-1, signal.SIGKILL)
    finally:
        # Also when there was nobody to kill. It must never return into the caller.
        os._exit(0)


def pids() -> list[int]:
    """Return every pid that this process can see."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _parents() -> dict[int, int]:
    parents = {}
    for pid in pids():
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # The name of the program, in parentheses, may itself hold any character.
        parents[pid] = int(stat.rpartition(b")")[2].split()[1])
    return parents


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
