"""
For authors: run an analyzer in the real sandbox, without broker, API or database.

::

    from workers.testing import analyze

    def test_it_finds_the_header() -> None:
        assert analyze(my_analyzer, b"MZ...").score == 0

Checks results as a replica does. Measures nothing and reports to nobody. The guide is
``docs/workers/writing.md``.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import shutil
import tempfile
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from workers.analysis import JSON, Analysis, Classification, Detection, File, Tag
from workers.analyzer import Analyzer
from workers.replica.results import RejectedResultError, ResultCheck
from workers.sandbox.sandbox import (
    BadResult,
    Crashed,
    Finished,
    Outcome,
    OutOfMemory,
    Raised,
    Run,
    Sandbox,
    Stopped,
    TimedOut,
)

_NAMES: dict[type, str] = {
    BadResult: "bad_result",
    Crashed: "crashed",
    Finished: "success",
    OutOfMemory: "out_of_memory",
    Stopped: "stopped",
    TimedOut: "timed_out",
}

#: A fault that is put in the analyzer's place: to see what becomes of it.
Switch = Literal["crash", "hang", "oom", "garbage"]

#: Seconds after which what hangs is killed, where nobody says another time.
_HANG_SECONDS = 0.5

#: Of what an analysis prints, and lines of a difference, that are shown.
_PRINTED_MAX_BYTES = 64 * 1024
_DIFFERENCE_MAX = 60


class AnalysisError(AssertionError):
    """The analyzer did not end with an analysis; the message says how it ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFile:
    """A file that an analysis named, as the store would know it."""

    kind: str
    file_name: str | None
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """
    How one run ended.

    ``outcome``: ``success``, ``error``, ``unsupported``, ``crashed``,
    ``out_of_memory``, ``timed_out`` or ``bad_result``; ``message`` says more.
    ``analysis``: the fields of a success. ``printed``: what the analyzer printed, at
    most 64 KiB of it.
    """

    outcome: str
    message: str | None = None
    recoverable: bool = False
    analysis: Mapping[str, JSON] | None = None
    files: tuple[StoredFile, ...] = ()
    printed: str = ""
    duration_seconds: float | None = None

    @property
    def ok(self) -> bool:
        """Whether there is an analysis."""
        return self.outcome == "success"

    @property
    def conforms(self) -> bool:
        """Whether an analyzer may end like this, whatever the sample is."""
        return self.outcome in {"success", "unsupported"} or self.recoverable

    @property
    def summary(self) -> str:
        """One line for people."""
        if self.analysis is not None:
            return f"{self.outcome}, score {self.analysis['score']}"
        lines = (self.message or "").strip().splitlines()
        return f"{self.outcome}: {lines[0] if lines else 'no message'}"


class Bench:
    """An analyzer in a sandbox with one slot; use it as a context manager."""

    def __init__(self, analyzer: Analyzer) -> None:
        self._analyzer = analyzer
        self._check = ResultCheck(analyzer.schema)
        self._scratch = Path(tempfile.mkdtemp(prefix="assay-bench-"))
        self._sandboxes: dict[Switch | None, Sandbox] = {}
        self._leaving = ExitStack()
        self._leaving.callback(shutil.rmtree, self._scratch, ignore_errors=True)
        self._leaving.callback(self._check.close)

    def __enter__(self) -> Self:
        self._sandbox(None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leaving.close()

    def try_one(
        self,
        sample: bytes | Path,
        *,
        file_name: str | None = None,
        classification: Classification = Classification(),  # noqa: B008  (frozen)
        options: Mapping[str, JSON] | None = None,
        timeout_seconds: float | None = None,
        switch: Switch | None = None,
    ) -> Trial:
        """
        Run the analyzer on one sample; the fields as of :class:`workers.Sample`.

        Args:
            switch: Have the child ``crash``, ``hang``, take all memory (``oom``) or
                answer ``garbage`` in its place, within the limits that it has.
        """
        content = sample if isinstance(sample, bytes) else sample.read_bytes()
        if file_name is None and isinstance(sample, Path):
            file_name = sample.name
        run = Run(
            deliver=lambda target, _: _write(target, content),
            sha256=hashlib.sha256(content).hexdigest(),
            size=len(content),
            file_name=file_name,
            classification=classification,
            options=options or {},
            timeout_seconds=timeout_seconds or self._run_seconds(switch),
        )
        files: list[StoredFile] = []
        sandbox = self._sandbox(switch)
        outcome = sandbox.run(
            0,
            run,
            stopped=threading.Event(),
            collect=lambda file, path: files.append(_stored(file, path)),
        )
        trial = self._trial(outcome, tuple(files))
        # Of one that was killed the message has it.
        if not isinstance(outcome, Finished | Raised | BadResult):
            return trial
        return replace(trial, printed=sandbox.printed(0, most_bytes=_PRINTED_MAX_BYTES))

    def try_all(
        self, folder: Path, *, options: Mapping[str, JSON] | None = None
    ) -> dict[str, Trial]:
        """Run it on every file below *folder*; by their paths from there, sorted."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {
            path.relative_to(folder).as_posix(): self.try_one(path, options=options)
            for path in files
        }

    def _sandbox(self, switch: Switch | None) -> Sandbox:
        if switch not in self._sandboxes:
            analyzer = self._analyzer
            sandbox = Sandbox(
                analyzer.module if switch is None else "workers.switches",
                analyzer_name=switch or analyzer.name,
                slots=1,
                scratch=self._scratch / (switch or "analyzer"),
                network=analyzer.network,
                memory_bytes=analyzer.memory_bytes,
                reuse_child=analyzer.reuse_child,
            )
            self._leaving.callback(sandbox.close)
            sandbox.start()
            self._sandboxes[switch] = sandbox
        return self._sandboxes[switch]

    def _run_seconds(self, switch: Switch | None) -> float:
        seconds = self._analyzer.run_seconds
        return min(seconds, _HANG_SECONDS) if switch == "hang" else seconds

    def _trial(self, outcome: Outcome, files: tuple[StoredFile, ...]) -> Trial:
        if isinstance(outcome, Finished):
            return self._finished(outcome, files)
        if isinstance(outcome, Raised):
            return Trial(
                outcome=outcome.kind,
                message=outcome.message,
                recoverable=outcome.recoverable,
            )
        message = None if isinstance(outcome, Stopped) else outcome.message
        return Trial(outcome=_NAMES[type(outcome)], message=message)

    def _finished(self, outcome: Finished, files: tuple[StoredFile, ...]) -> Trial:
        try:
            checked = self._check(outcome.analysis)
        except RejectedResultError as error:
            return Trial(outcome="bad_result", message=str(error))
        return Trial(
            outcome="success",
            message=checked.message,
            analysis=checked.analysis.model_dump(mode="json", exclude={"references"}),
            files=files,
            duration_seconds=outcome.duration_seconds,
        )


def analyze(
    analyzer: Analyzer,
    sample: bytes | Path,
    *,
    file_name: str | None = None,
    classification: Classification = Classification(),  # noqa: B008  (frozen)
    options: Mapping[str, JSON] | None = None,
    timeout_seconds: float | None = None,
) -> Analysis:
    """
    Return what *analyzer* finds in *sample*, as the orchestrator would see it.

    For several samples a :class:`Bench` is faster: this starts a sandbox each time.

    Raises:
        AnalysisError: There is no analysis: it raised, crashed, took too long, …
    """
    with Bench(analyzer) as bench:
        trial = bench.try_one(
            sample,
            file_name=file_name,
            classification=classification,
            options=options,
            timeout_seconds=timeout_seconds,
        )
    if trial.analysis is None:
        raise AnalysisError(f"{trial.outcome}: {trial.message}")
    fields = dict(trial.analysis)
    fields["tags"] = tuple(Tag(**tag) for tag in fields["tags"])
    fields["detections"] = tuple(
        Detection(**detection) for detection in fields["detections"]
    )
    return Analysis(**fields, message=trial.message)


def check_golden(
    analyzer: Analyzer,
    samples: Path,
    golden: Path,
    *,
    options: Mapping[str, JSON] | None = None,
) -> None:
    """
    Compare what *analyzer* finds in each file below *samples* with what it found.

    Args:
        golden: The folder of the expected results, each called like its sample, with
            ``.json`` behind. One that is not there is written, for its author to read;
            to renew one, delete it.

    Raises:
        AnalysisError: Something is not as it was, was written just now, or is a result
            without a sample; the message shows the differences.
    """
    with Bench(analyzer) as bench:
        trials = bench.try_all(samples, options=options)
    wrong = [
        complaint
        for name, trial in trials.items()
        if (complaint := _compared(golden / f"{name}.json", trial))
    ]
    wrong += [
        f"{path}: there is no such sample any more; delete it"
        for path in sorted(golden.rglob("*.json"))
        if path.relative_to(golden).as_posix().removesuffix(".json") not in trials
    ]
    if wrong:
        raise AnalysisError("\n".join(wrong))


def _compared(path: Path, trial: Trial) -> str | None:
    fields = asdict(trial)
    # How long it took, and what it printed, is no result.
    del fields["duration_seconds"], fields["printed"]
    found = json.dumps(fields, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(found, encoding="utf-8")
        return f"{path}: written now; read it, and run this again"
    expected = path.read_text(encoding="utf-8")
    return None if found == expected else _difference(path, expected, found)


def _difference(path: Path, expected: str, found: str) -> str:
    lines = difflib.unified_diff(
        expected.splitlines(), found.splitlines(), str(path), "found now", lineterm=""
    )
    return "\n".join(list(lines)[:_DIFFERENCE_MAX])


def _write(target: Path, content: bytes) -> None:
    target.write_bytes(content)


def _stored(file: File, path: Path) -> StoredFile:
    content = path.read_bytes()
    return StoredFile(
        kind=file.kind,
        file_name=file.file_name,
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
    )
