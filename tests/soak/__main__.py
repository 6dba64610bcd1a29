"""
``python -m tests.soak``: what the workers say of thousands of clean files, which are
those of this virtual environment and of this Python.

Each file is classified, and each worker that takes it looks at it in the real sandbox.
A score of 30 or more is a false alarm, but for what ``exceptions.toml`` names.
"""

# ruff: noqa: T201  (it prints)
from __future__ import annotations

import argparse
import fnmatch
import hashlib
import random
import sysconfig
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

from orchestrator.classify import Decision, SecondOpinion, decide
from orchestrator.domain.policy import Subject, Tlp
from orchestrator.domain.selection import accepts
from orchestrator.store import HEAD_BYTES, TAIL_BYTES
from tests.soak.measured import MEASURED
from workers.analysis import Classification
from workers.analyzer import Analyzer
from workers.testing import Bench, Trial

#: As many as an installation has at the least; fewer say nothing.
LEAST_FILES = 2000
#: What an analyst would look at.
ALARMING_SCORE = 30
MOST_EXCEPTIONS = 5

_EXCEPTIONS = Path(__file__).with_name("exceptions.toml")
_PROGRESS_SECONDS = 10.0
#: The order is the same in every run, and any part of it is a fair one.
_SEED = 20261128


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """A score that a clean file has not earned."""

    path: Path
    worker: str
    score: int
    findings: str

    @property
    def line(self) -> str:
        """It in one line."""
        return f"{self.score:>3}  {self.worker:<10}  {self.path}  {self.findings}"


@dataclass(kw_only=True)
class Tally:
    """What came out so far. ``cpu_seconds``: {worker: of each analysis}."""

    files: int = 0
    types: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    cpu_seconds: defaultdict[str, list[float]] = field(
        default_factory=lambda: defaultdict(list)
    )
    alarms: list[Alarm] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def main() -> int:
    """Look at the files, print what came out, and return 1 if that is not right."""
    given = _parse()
    paths = _files()[:: given.every]
    exceptions = _exceptions()
    print(f"{len(paths)} files, at most {given.minutes} minutes", flush=True)
    tally = _look_at(paths, deadline=time.monotonic() + given.minutes * 60)
    faults = [
        *_print(tally, exceptions),
        *([] if given.every > 1 else _too_few(tally)),
    ]
    for fault in faults:
        print(f"FAIL  {fault}")
    print("ok" if not faults else f"{len(faults)} faults")
    return 1 if faults else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="N-th file")
    parser.add_argument("--minutes", type=float, default=60, help="then it stops")
    return parser.parse_args()


def _files() -> list[Path]:
    """Return every file once, however often its content is there."""
    found = {path.resolve() for root in _roots() for path in _regular(root)}
    once = {hashlib.sha256(path.read_bytes()).digest(): path for path in sorted(found)}
    files = sorted(once.values())
    random.Random(_SEED).shuffle(files)
    return files


def _roots() -> Iterator[Path]:
    ours = sysconfig.get_paths()
    yield from (Path(ours[name]) for name in ("purelib", "platlib", "scripts"))
    yield from (Path(ours[name]) for name in ("stdlib", "include"))


def _regular(root: Path) -> Iterator[Path]:
    for path in root.rglob("*"):
        # What this Python's own users have installed beside it is not locked, and what
        # it has compiled stands beside what it was made of.
        below = path.relative_to(root).parts
        if "site-packages" in below or "__pycache__" in below:
            continue
        if path.is_file() and not path.is_symlink():
            yield path


def _look_at(paths: Sequence[Path], *, deadline: float) -> Tally:
    tally = Tally()
    second = SecondOpinion()
    second.start()
    second.wait(60)
    said = time.monotonic()
    with ExitStack() as stack:
        benches = [
            (analyzer, stack.enter_context(Bench(analyzer))) for analyzer in MEASURED
        ]
        # Before the sandboxes, which end whatever is shut in below this process.
        stack.callback(second.close)
        for path in paths:
            _look(path, benches, second, tally)
            if time.monotonic() > deadline:
                break
            if time.monotonic() - said > _PROGRESS_SECONDS:
                said = time.monotonic()
                alarms = len(tally.alarms)
                print(f"{tally.files} of {len(paths)}, {alarms} alarms", flush=True)
    return tally


def _look(
    path: Path,
    benches: Sequence[tuple[Analyzer, Bench]],
    second: SecondOpinion,
    tally: Tally,
) -> None:
    content = path.read_bytes()
    head, tail = content[:HEAD_BYTES], content[-TAIL_BYTES:]
    found = decide(head, tail, len(content), asked=second)
    tally.files += 1
    tally.types[found.kind.type] += 1
    for analyzer, bench in benches:
        if not _takes(analyzer, found, len(content)):
            continue
        kind = Classification(**found.kind.model_dump())
        trial = bench.try_one(path, classification=kind)
        _count(path, analyzer.name, trial, tally)


def _takes(analyzer: Analyzer, found: Decision, size: int) -> bool:
    subject = Subject(
        sha256="",
        size_bytes=size,
        type=found.kind.type,
        super_type=found.kind.super_type,
        mime_type=found.kind.mime_type,
        tlp=Tlp.AMBER,
        customer="",
        metadata={},
    )
    fits = analyzer.max_bytes is None or size <= analyzer.max_bytes
    return fits and accepts(analyzer.accepts, subject)


def _count(path: Path, worker: str, trial: Trial, tally: Tally) -> None:
    tally.outcomes[worker, trial.outcome] += 1
    if not trial.conforms:
        tally.broken.append(f"{worker} of {path}: {trial.summary}")
    if trial.analysis is None:
        return
    tally.cpu_seconds[worker].append(float(trial.message or 0))
    score = trial.analysis["score"]
    assert isinstance(score, int)
    if score >= ALARMING_SCORE:
        alarm = Alarm(
            path=path, worker=worker, score=score, findings=_findings(trial.analysis)
        )
        tally.alarms.append(alarm)
        print(alarm.line, flush=True)


def _findings(analysis: Mapping[str, object]) -> str:
    detections = analysis["detections"]
    assert isinstance(detections, list)
    return ", ".join(str(detection["name"]) for detection in detections)


def _exceptions() -> list[dict[str, str]]:
    found: list[dict[str, str]] = tomllib.loads(_EXCEPTIONS.read_text()).get(
        "exception", []
    )
    if len(found) > MOST_EXCEPTIONS:
        raise SystemExit(f"{_EXCEPTIONS.name} has more than {MOST_EXCEPTIONS}")
    if not all(one["path"] and one["worker"] and one["why"] for one in found):
        raise SystemExit(f"{_EXCEPTIONS.name}: give path, worker and why")
    return found


def _print(tally: Tally, exceptions: Sequence[Mapping[str, str]]) -> Iterator[str]:
    print(f"{tally.files} files: {_counts(tally.types.most_common(12))}")
    for worker, seconds in tally.cpu_seconds.items():
        outcomes = {
            outcome: count
            for (name, outcome), count in tally.outcomes.items()
            if name == worker
        }
        cuts = quantiles([*seconds, *seconds], n=100)
        print(
            f"{worker:<10}  CPU p50 {cuts[49] * 1000:.1f} ms,"
            f" p95 {cuts[94] * 1000:.1f} ms, most {max(seconds):.2f} s;"
            f" {_counts(outcomes.items())}"
        )
    for alarm in tally.alarms:
        if not any(_is_known(alarm, known) for known in exceptions):
            yield f"false alarm: {alarm.line}"
    yield from tally.broken


def _is_known(alarm: Alarm, known: Mapping[str, str]) -> bool:
    named = fnmatch.fnmatch(str(alarm.path), f"*/{known['path']}")
    return named and alarm.worker == known["worker"]


def _counts(pairs: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {count}" for name, count in pairs)


def _too_few(tally: Tally) -> Iterator[str]:
    if tally.files < LEAST_FILES:
        yield f"{tally.files} files are fewer than {LEAST_FILES}"


if __name__ == "__main__":
    raise SystemExit(main())
