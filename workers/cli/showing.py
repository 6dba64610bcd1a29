"""
How one trial of an analyzer reads: for people, and as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict

from jsonschema.exceptions import SchemaError

from workers.analysis import JSON
from workers.analyzer import Analyzer
from workers.cli.words import UsageError, visible
from workers.sandbox.sandbox import SandboxError
from workers.testing import Bench, Trial

#: What a score says beside the number; the limits are those of the verdict.
_SUSPICIOUS, _MALICIOUS = 30, 70


@contextmanager
def bench(analyzer: Analyzer) -> Iterator[Bench]:
    """
    Give a bench for *analyzer*.

    Raises:
        UsageError: Its schema is none, or the sandbox can not be made of its module.
    """
    try:
        with Bench(analyzer) as made:
            yield made
    except SchemaError as error:
        raise UsageError(f"schema of {analyzer.name}: {error.message}") from error
    except SandboxError as error:
        raise UsageError(str(error)) from error


def as_json(trial: Trial) -> str:
    """Return a trial as one line of JSON."""
    return json.dumps(asdict(trial), default=str)


def as_text(trial: Trial, title: str) -> str:
    """Return a trial in lines; what an analyzer said does nothing to a terminal."""
    return visible("\n".join(_lines(trial, title)))


def _lines(trial: Trial, title: str) -> Iterator[str]:
    took = trial.duration_seconds
    seconds = "" if took is None else f", {took:.3f} s"
    yield f"{title}: {trial.outcome}{seconds}"
    if trial.analysis is not None:
        yield from _analysis(trial.analysis)
    if trial.message:
        again = "; it would be tried again" if trial.recoverable else ""
        yield f"message{again}:" if "\n" in trial.message else f"message{again}"
        yield from _indented(trial.message)
    for stored in trial.files:
        name = f", {stored.file_name}" if stored.file_name else ""
        yield f"{stored.kind} {stored.sha256}, {size(stored.size)}{name}"
    if trial.printed:
        yield "printed:"
        yield from _indented(trial.printed)


def _analysis(analysis: Mapping[str, JSON]) -> Iterator[str]:
    score = analysis["score"]
    yield f"score {score}: {_meaning(score)}"
    for tag in analysis["tags"]:
        yield f"tag {tag['type']} {tag['value']}"
    for detection in analysis["detections"]:
        yield f"detection {detection['name']}: {detection['assessment']}"
    for name in ("possible_detections", "override", "profile"):
        if analysis[name] is not None:
            yield f"{name} {analysis[name]}"
    if analysis["internet_access"]:
        yield "internet_access"
    yield "result:"
    yield from _indented(json.dumps(analysis["result"], indent=2, ensure_ascii=False))


def _meaning(score: int) -> str:
    if score < 0:
        return "no findings, counts for nothing"
    if score >= _MALICIOUS:
        return "malicious"
    return "suspicious" if score >= _SUSPICIOUS else "informational"


def _indented(text: str) -> Iterator[str]:
    return (f"  {line}" for line in text.splitlines())


def size(count: int) -> str:
    """Return a number of bytes in words."""
    return f"{count:,} byte{'' if count == 1 else 's'}"
