"""
Runs a command that dies with its parent, as a user who may do nothing else.

``python -m orchestrator.embedded.launch --parent PID [--uid N --gid N] [--signal S] --
COMMAND…``. Privileges are dropped first: changing them clears the death signal.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become the command."""
    given = _arguments()
    if given.uid is not None:
        os.setgroups([])
        os.setgid(given.gid)
        os.setuid(given.uid)
    os.umask(0o077)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, given.signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # The parent may have died before the line above took effect.
    if os.getppid() != given.parent:
        sys.exit(1)
    os.execvp(given.command[0], given.command)  # noqa: S606  (to become it is the point)


def command(
    *words: str | Path,
    parent: int | str,
    user: tuple[int, int] | None = None,
    death_signal: int = signal.SIGKILL,
) -> list[str]:
    """
    Return the command line that runs *words* through this module.

    Args:
        parent: Whose death ends it.
        user: (uid, gid) to become; ``None`` stays who it is.
    """
    identity = [] if user is None else ["--uid", str(user[0]), "--gid", str(user[1])]
    return [
        sys.executable,
        "-m",
        "orchestrator.embedded.launch",
        *("--parent", str(parent), "--signal", str(int(death_signal))),
        *identity,
        "--",
        *(str(word) for word in words),
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="launch")
    parser.add_argument("--parent", type=_parent, required=True)
    parser.add_argument("--signal", type=int, default=int(signal.SIGKILL))
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    parser.add_argument("command", nargs="+")
    return parser.parse_args()


def _parent(text: str) -> int:
    # Who supervises does not know its own pid when it writes its configuration.
    return os.getppid() if text == "mine" else int(text)


if __name__ == "__main__":
    main()
