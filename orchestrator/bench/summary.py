"""
What a measurement says: figures of each run, their medians, one document or one table.
"""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from orchestrator.terminal.output import print_json, print_table

#: What one run measured: name, with its unit, → number.
Figures = dict[str, float]

_COLUMNS = ("figure", "median", "least", "most")


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """
    One benchmark.

    ``parameters``: what was asked for. ``extra``: what is no number, such as plans.
    """

    benchmark: str
    parameters: Mapping[str, int]
    runs: Sequence[Figures]
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def medians(self) -> Figures:
        """The median of each figure."""
        return {
            name: round(statistics.median(run[name] for run in self.runs), 3)
            for name in self.runs[0]
        }

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "benchmark": self.benchmark,
            "machine": machine(),
            "parameters": dict(self.parameters),
            "medians": self.medians,
            "runs": [_rounded(run) for run in self.runs],
            **self.extra,
        }


def machine() -> dict[str, str | int]:
    """Say on what it ran: without this, numbers compare with nothing."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "celery": version("celery"),
        "kombu": version("kombu"),
    }


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that *share* (0 to 1) of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 100) * len(ordered) // 100) - 1)]


def milliseconds(name: str, seconds: Sequence[float]) -> Figures:
    """Return p50 and p95 of some durations, in milliseconds."""
    return {
        f"{name}_p50_ms": percentile(seconds, 0.5) * 1000,
        f"{name}_p95_ms": percentile(seconds, 0.95) * 1000,
    }


def show(result: Result, *, as_json: bool) -> None:
    """Print one document, or a table of the figures."""
    if as_json:
        print_json(result.document())
        return
    asked = ", ".join(f"{name} {value:,}" for name, value in result.parameters.items())
    print(f"{result.benchmark}: {asked}")
    print_table(_COLUMNS, (_row(result, name) for name in result.medians))


def _row(result: Result, name: str) -> tuple[object, ...]:
    values = [run[name] for run in result.runs]
    return name, *(
        f"{x:,.3f}" for x in (result.medians[name], min(values), max(values))
    )


def _rounded(figures: Figures) -> Figures:
    return {name: round(value, 3) for name, value in figures.items()}
