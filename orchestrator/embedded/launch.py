"""
Runs a command that dies with its parent, as a user who may do nothing else.

``python -m orchestrator.embedded.launch --parent PID [--uid N --gid N] [--signal S]
(--program FILE | -- COMMAND…)``. Privileges are dropped first: changing them clears the
death signal.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

_PR_SET_PDEATHSIG = 1

#: Nothing is imported from where it happens to stand.
_MODULE = (sys.executable, "-P", "-m", "orchestrator.embedded.launch")


def main() -> None:
    """Become the command."""
    execute(*prepare(sys.argv[1:]))


def prepare(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """
    Become who runs the command; return its words and its environment.

    Args:
        arguments: As they are typed.
    """
    given = _read(arguments)
    words, environment = given.command, dict(os.environ)
    if given.program is not None:
        # While we still may: its user can not read it.
        program = json.loads(given.program.read_text())
        words = program["command"]
        environment |= program["environment"]
        os.chdir("/")
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
    return words, environment


def execute(words: list[str], environment: Mapping[str, str]) -> NoReturn:
    """Become the command, as whoever this process is."""
    os.execvpe(words[0], words, environment)  # noqa: S606  (to become it is the point)


def command(
    *words: str | Path,
    parent: int | str,
    user: tuple[int, int] | None = None,
    death_signal: int = signal.SIGKILL,
) -> list[str]:
    """
    Return the command line that runs *words* through this module.

    Args:
        parent: Whose death ends it: a pid, or ``mine`` for whoever starts it.
        user: (uid, gid) to become; ``None`` stays who it is.
    """
    return [*_launcher(parent, user, death_signal), "--", *map(str, words)]


def program_command(
    file: Path, *, user: tuple[int, int] | None, death_signal: int
) -> list[str]:
    """Return the command line that runs what :func:`program` says."""
    return [*_launcher("mine", user, death_signal), "--program", str(file)]


def program(words: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return the content of a program's file: a command, and what it is told beside."""
    return json.dumps({"command": list(words), "environment": dict(environment)})


def own_words(words: Sequence[str]) -> Sequence[str]:
    """Return what :func:`prepare` takes, of a command line made here."""
    return words[len(_MODULE) :]


def _launcher(
    parent: int | str, user: tuple[int, int] | None, death_signal: int
) -> list[str]:
    identity = [] if user is None else ["--uid", str(user[0]), "--gid", str(user[1])]
    return [
        *_MODULE,
        *("--parent", str(parent), "--signal", str(int(death_signal))),
        *identity,
    ]


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="launch")
    parser.add_argument("--parent", type=_parent, required=True)
    parser.add_argument("--signal", type=int, default=int(signal.SIGKILL))
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    parser.add_argument("--program", type=Path)
    parser.add_argument("command", nargs="*")
    return parser.parse_args(arguments)


def _parent(text: str) -> int:
    # Who supervises does not know its own pid when it writes its configuration.
    return os.getppid() if text == "mine" else int(text)


if __name__ == "__main__":
    main()
