"""
What the processes of a slot may take of the machine together, by a cgroup of its own.

Only where this process's own cgroup (version 2) is its own to divide: as a service with
``Delegate=yes``, say, or as root outside of any. Limits nothing by itself: the kernel
does.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


class NoSharesError(Exception):
    """This process may not divide its cgroup; the message says why."""


class Shares:
    """
    The cgroups of some slots.

    Args:
        limits: The kernel's files and what goes into them, as ``{"pids.max": 256}``.
        own: The cgroup to divide: this process's own.

    Raises:
        NoSharesError: It cannot be divided; all is as before.
    """

    def __init__(self, limits: Mapping[str, int], *, own: Path | None = None) -> None:
        self._limits = limits
        self._own = _own_group() if own is None else own
        self._controllers = sorted({name.partition(".")[0] for name in limits})
        self._groups: list[Path] = []
        # Processes and divided groups exclude each other, but at the very top.
        is_top = not (self._own / "cgroup.type").exists()
        self._leaf = None if is_top else self._own / "replica"
        try:
            self._divide()
        except OSError as error:
            self.close()
            raise NoSharesError(f"{self._own}: {error.strerror}") from error

    def add(self) -> Path:
        """
        Return a new cgroup for one slot.

        Raises:
            NoSharesError: It cannot be made.
        """
        group = self._own / f"assay-{uuid.uuid4().hex[:8]}"
        try:
            group.mkdir()
            self._groups.append(group)
            for name, limit in self._limits.items():
                (group / name).write_text(str(limit))
        except OSError as error:
            raise NoSharesError(f"{self._own}: {error.strerror}") from error
        return group

    def close(self) -> None:
        """Remove the groups, in which nothing may be left, and leave all as it was."""
        for group in self._groups:
            with suppress(OSError):
                group.rmdir()
        if self._leaf is None or not self._leaf.exists():
            return
        with suppress(OSError):
            self._control("-")
        with suppress(OSError):
            (self._own / "cgroup.procs").write_text(str(os.getpid()))
            self._leaf.rmdir()

    def _divide(self) -> None:
        present = (self._own / "cgroup.controllers").read_text().split()
        missing = sorted(set(self._controllers) - set(present))
        if missing:
            raise NoSharesError(f"{self._own} has no controller {', '.join(missing)}")
        if self._leaf is not None:
            self._leaf.mkdir(exist_ok=True)
            (self._leaf / "cgroup.procs").write_text(str(os.getpid()))
        self._control("+")

    def _control(self, sign: str) -> None:
        words = " ".join(f"{sign}{controller}" for controller in self._controllers)
        (self._own / "cgroup.subtree_control").write_text(words)


def _own_group() -> Path:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::/") and not line.startswith("0::/.."):
            return _mount_point() / line.removeprefix("0::/")
    raise NoSharesError("this process is in no cgroup of version 2")


def _mount_point() -> Path:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, source = line.partition(" - ")
        if source.startswith("cgroup2 ") and fields.split()[3] == "/":
            return Path(fields.split()[4])
    raise NoSharesError("no file system of cgroups of version 2 is mounted")
