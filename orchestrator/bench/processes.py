"""
What processes have used, as Linux counts it in ``/proc``. It starts and ends none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")

#: /proc counts processor time in these.
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Process:
    parent: int
    cpu_seconds: float


def cpu_seconds(roots: Mapping[str, int]) -> dict[str, float]:
    """
    Return the processor time of each process and all below it, those ended included.

    Args:
        roots: Name → pid. One below another counts for itself alone.
    """
    found = _processes()
    return {
        name: sum(found[pid].cpu_seconds for pid in tree)
        for name, tree in _trees(found, roots).items()
    }


def peak_rss_mib(roots: Mapping[str, int]) -> dict[str, float]:
    """
    Return the most memory that the largest process of each tree has held at once.

    Pages that processes share count in each, so a sum over a tree would mislead.
    """
    found = _processes()
    return {
        name: max(map(_peak_rss_mib, tree), default=0.0)
        for name, tree in _trees(found, roots).items()
    }


def _processes() -> dict[int, _Process]:
    found = {}
    for entry in _PROC.iterdir():
        # Whatever ends while we look was reaped by its parent, which counts it then.
        with suppress(OSError):
            if entry.name.isdecimal():
                found[int(entry.name)] = _read((entry / "stat").read_text())
    return found


def _read(line: str) -> _Process:
    # The name before the last ")" may hold anything; the state comes first after it.
    fields = line.rpartition(")")[2].split()
    # utime, stime, and both of the children that were waited for.
    ticks = sum(int(field) for field in fields[11:15])
    return _Process(parent=int(fields[1]), cpu_seconds=ticks / _TICKS_PER_SECOND)


def _trees(
    found: Mapping[int, _Process], roots: Mapping[str, int]
) -> dict[str, list[int]]:
    children: dict[int, list[int]] = {}
    for pid, process in found.items():
        if pid not in roots.values():
            children.setdefault(process.parent, []).append(pid)
    trees = {name: [root] for name, root in roots.items() if root in found}
    for tree in trees.values():
        for pid in tree:
            tree.extend(children.get(pid, []))
    return trees


def _peak_rss_mib(pid: int) -> float:
    with suppress(OSError):
        for line in (_PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0
