"""
For authors: run an analyzer in the real sandbox, without broker, API or database.

::

    from workers.testing import analyze

    def test_it_finds_the_header() -> None:
        assert analyze(my_analyzer, b"MZ...").score == 0

Checks results as a replica does. Measures nothing and reports to nobody.
"""

from __future__ import annotations

import hashlib
import io
import random
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

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

#: Of the noise among the odd samples; any other would do as well.
_SEED = 20261123
_MEBIBYTE = 1024 * 1024


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
    ``analysis``: the fields of a success.
    """

    outcome: str
    message: str | None = None
    recoverable: bool = False
    analysis: Mapping[str, JSON] | None = None
    files: tuple[StoredFile, ...] = ()
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
        self._sandbox = Sandbox(
            analyzer.module,
            analyzer_name=analyzer.name,
            slots=1,
            scratch=self._scratch,
            network=analyzer.network,
            memory_bytes=analyzer.memory_bytes,
            reuse_child=analyzer.reuse_child,
        )

    def __enter__(self) -> Self:
        self._sandbox.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._sandbox.close()
        self._check.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def try_one(
        self,
        sample: bytes | Path,
        *,
        file_name: str | None = None,
        classification: Classification = Classification(),  # noqa: B008  (frozen)
        options: Mapping[str, JSON] | None = None,
        timeout_seconds: float | None = None,
    ) -> Trial:
        """Run the analyzer on one sample; the fields as of :class:`workers.Sample`."""
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
            timeout_seconds=timeout_seconds or self._analyzer.run_seconds,
        )
        files: list[StoredFile] = []
        outcome = self._sandbox.run(
            0,
            run,
            stopped=threading.Event(),
            collect=lambda file, path: files.append(_stored(file, path)),
        )
        return self._trial(outcome, tuple(files))

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


def odd_samples() -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of samples that analyzers tend to trip over."""
    noise = random.Random(_SEED).randbytes(_MEBIBYTE)  # noqa: S311  (no secret)
    archive = _archive(noise[:4096])
    yield "empty", b""
    yield "one byte", b"\0"
    yield "1 MiB of noise", noise
    yield "1 MiB of zeros", bytes(_MEBIBYTE)
    yield "one line of 1 MiB", b"A" * _MEBIBYTE
    yield "text that is not UTF-8", "blåbærsyltetøy\r\n".encode("latin-1") * 100
    yield "zip", archive
    yield "zip, truncated", archive[: len(archive) // 2]
    yield "zip, first bytes only", b"PK\x03\x04"
    yield "program header only", b"MZ" + bytes(58) + b"\xff\xff\xff\x7f"
    yield "ELF header, then noise", b"\x7fELF\x02\x01\x01" + noise[:2048]
    yield "PDF header, then noise", b"%PDF-1.7\n" + noise[:2048] + b"\n%%EOF"
    yield "OLE header, then noise", bytes.fromhex("d0cf11e0a1b11ae1") + noise[:4096]


def _archive(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("one.bin", content)
        archive.writestr("../two.txt", "a name that points outside")
    return out.getvalue()


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
