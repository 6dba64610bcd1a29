"""
How long ``assay up`` takes until it takes jobs, the first time and again, and how much
memory all of its processes have together.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from orchestrator.bench.processes import cpu_seconds
from orchestrator.bench.summary import Figures, Result
from orchestrator.embedded.ports import free_port
from orchestrator.terminal.output import tell
from tests.fixtures.embedded import World, cleared, everything_of

#: For the first heartbeats and scrapes: what grows after a start has grown.
_SETTLE_SECONDS = 5


def measure_start(runs: int) -> Result:
    """Start and stop stacks, each twice on one data directory."""
    figures = []
    for number in range(1, runs + 1):
        tell(f"start: run {number} of {runs}")
        figures.append(_run())
    return Result(benchmark="start", parameters={"runs": runs}, runs=figures)


def _run() -> Figures:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ASSAY_")}
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as name:
        folder = Path(name)
        with cleared(folder / "data") as data_dir:
            world = World(
                env={
                    **kept,
                    "ASSAY_DATA_DIR": str(data_dir),
                    "ASSAY_API_PORT": str(free_port()),
                    "ASSAY_FLOWER_PORT": str(free_port()),
                }
            )
            first = _start(world, folder / "log")
            second = _start(world, folder / "log")
    return {
        "first_start_seconds": first["seconds"],
        "second_start_seconds": second["seconds"],
        "start_cpu_seconds": second["cpu_seconds"],
        "processes": second["processes"],
        "pss_mib": second["pss_mib"],
    }


def _start(world: World, log: Path) -> Figures:
    began = time.monotonic()
    with world.up(log) as up:
        seconds = time.monotonic() - began
        used = cpu_seconds({"stack": up.process.pid})["stack"]
        time.sleep(_SETTLE_SECONDS)
        everything = [process.pid for process in everything_of(up.process.pid)]
        return {
            "seconds": seconds,
            "cpu_seconds": used,
            "processes": len(everything),
            "pss_mib": sum(map(_pss_mib, everything)),
        }


def _pss_mib(pid: int) -> float:
    """Return what a process has, of shared pages its share."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0
