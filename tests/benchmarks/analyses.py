"""
``python -m tests.benchmarks.analyses``: what the sandbox of one analysis costs.

Processor time and memory of the bundled workers, and of one that does nothing, with a
fresh child for each analysis and with one child for all. Neither broker nor API: the
rest of a task is measured by ``assay bench fanout``.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

from orchestrator.demo.files import build
from workers.sandbox.inside.processes import children_of
from workers.sandbox.sandbox import RUNS_PER_CHILD, Finished, Run, Sandbox

_NOOP = """
from workers import Analysis, Sample, analyzer

@analyzer("noop", version="1")
def noop(sample: Sample) -> Analysis:
    return Analysis(score=-1)
"""
#: Which of the demo's files each looks at: small ones, for the sandbox is measured.
_KINDS = {
    "noop": "text",
    "strings": "text",
    "yara": "text",
    "executable": "elf",
    "document": "pdf",
}
#: An analysis costs what so many more cost; starting and stopping is in neither.
_FEW = 10
_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """
    ``customers``: how many there are; those of an analysis are one after another.
    ``reuse_child``: whether a child is kept for the next sample of the same.
    """

    worker: str
    content: bytes
    customers: int
    reuse_child: bool


def main() -> None:
    """Measure, and print a line for each worker."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--analyses", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    _print("worker", "fresh: CPU ms", "memory MiB", "reused: CPU ms", "memory MiB")
    with _contents() as contents:
        for worker, content in contents.items():
            case = partial(Case, worker=worker, content=content)
            fresh = case(customers=1, reuse_child=False)
            reused = case(customers=1, reuse_child=True)
            # The child of a customer stays until another's sample comes.
            kept = case(customers=_FEW, reuse_child=True)
            _print(
                worker,
                f"{_cpu_ms(fresh, given.analyses, given.runs):.2f}",
                f"{_spend(kept, _FEW)[1]:.1f}",
                f"{_cpu_ms(reused, given.analyses, given.runs):.2f}",
                f"{_spend(reused, RUNS_PER_CHILD // 2)[1]:.1f}",
            )


def _cpu_ms(case: Case, analyses: int, runs: int) -> float:
    """Return the processor time of one analysis, of everybody in it."""
    return statistics.median(
        (_spend(case, _FEW + analyses)[0] - _spend(case, _FEW)[0]) * 1000 / analyses
        for _ in range(runs)
    )


def _spend(case: Case, analyses: int) -> tuple[float, float]:
    """Return seconds of processor time, and what a child that is left has alone."""
    before = _cpu_seconds()
    with tempfile.TemporaryDirectory() as scratch:
        sandbox = Sandbox(
            _module(case.worker),
            analyzer_name=case.worker,
            slots=1,
            scratch=Path(scratch),
            network=False,
            memory_bytes=2048 * _MEBIBYTE,
            reuse_child=case.reuse_child,
        )
        try:
            sandbox.start()
            for number in range(analyses):
                _analyse(sandbox, case, customer=str(number % case.customers))
            memory = sum(map(_private_mib, _children()))
        finally:
            sandbox.close()
    return _cpu_seconds() - before, memory


def _analyse(sandbox: Sandbox, case: Case, *, customer: str) -> None:
    run = Run(
        deliver=partial(_deliver, case.content),
        sha256=sha256(case.content).hexdigest(),
        size=len(case.content),
        timeout_seconds=30,
        customer=customer,
    )
    outcome = sandbox.run(0, run, stopped=threading.Event(), collect=lambda *_: None)
    if not isinstance(outcome, Finished):
        sys.exit(f"{case.worker}: {outcome}")


def _deliver(content: bytes, target: Path, _: float) -> None:
    target.write_bytes(content)


def _module(worker: str) -> str:
    return "bench_noop" if worker == "noop" else f"workers.analyzers.{worker}.analyzer"


@contextmanager
def _contents() -> Iterator[Mapping[str, bytes]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bench_noop.py").write_text(_NOOP)
        sys.path.insert(0, name)
        files = {file.kind: file.path for file in build(folder)}
        yield {worker: files[kind].read_bytes() for worker, kind in _KINDS.items()}


def _children() -> set[int]:
    """Those of zygotes, which are a template's, which is ours."""
    return children_of(children_of(children_of([os.getpid()])))


def _private_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kibibytes = [int(line.split()[1]) for line in lines if line.startswith("Private_")]
    return sum(kibibytes) / 1024


def _cpu_seconds() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _print(*cells: str) -> None:
    print("".join(f"{cell:>16}" for cell in cells), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
