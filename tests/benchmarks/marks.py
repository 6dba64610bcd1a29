"""
What is wanted, as ratios and limits over the results of one run. It measures nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.bench.summary import Figures

#: Benchmark or peer → its medians.
Medians = Mapping[str, Figures]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """``needs``: the benchmarks that it is of. ``most``: whether less is better."""

    name: str
    needs: tuple[str, ...]
    value: Callable[[Medians], float]
    limit: float
    most: bool = False

    def row(self, medians: Medians) -> dict[str, Any]:
        """Return it with what was measured."""
        value = self.value(medians)
        met = value <= self.limit if self.most else value >= self.limit
        wanted = f"{'≤' if self.most else '≥'} {self.limit:g}"
        return {
            "mark": self.name,
            "measured": round(value, 3),
            "wanted": wanted,
            "met": met,
        }


def _rate(peer: str) -> Callable[[Medians], float]:
    return lambda of: of["fanout"]["tasks_per_second"] / of[peer]["tasks_per_second"]


def _figure(benchmark: str, name: str) -> Callable[[Medians], float]:
    return lambda of: of[benchmark][name]


def _against(peer: str, limit: float) -> Mark:
    name = f"end to end, times {peer}"
    return Mark(name=name, needs=("fanout", peer), value=_rate(peer), limit=limit)


def _at_most(name: str, benchmark: str, figure: str, limit: float) -> Mark:
    return Mark(
        name=name,
        needs=(benchmark,),
        value=_figure(benchmark, figure),
        limit=limit,
        most=True,
    )


MARKS = (
    _against("celery", 1),
    _against("karton", 1),
    _against("celery_group_redis", 2),
    _against("celery_group_postgres", 12),
    Mark(
        name="lone job p50, times karton",
        needs=("fanout", "karton"),
        value=lambda of: (
            of["fanout"]["lone_job_p50_ms"] / of["karton"]["lone_job_p50_ms"]
        ),
        limit=2,
        most=True,
    ),
    Mark(
        name="end to end on RabbitMQ, times Celery on RabbitMQ",
        needs=("fanout_rabbitmq", "celery_rabbitmq"),
        value=lambda of: (
            of["fanout_rabbitmq"]["tasks_per_second"]
            / of["celery_rabbitmq"]["tasks_per_second"]
        ),
        limit=1,
    ),
    _at_most("lone job p50, ms", "fanout", "lone_job_p50_ms", 25),
    _at_most("lone job p95, ms", "fanout", "lone_job_p95_ms", 40),
    _at_most("CPU ms per task, all parts", "fanout", "cpu_ms_per_task", 1.8),
    _at_most("engine CPU ms per task", "fanout", "engine_cpu_ms_per_task", 0.35),
    _at_most("API CPU ms per job of 8 tasks", "fanout", "api_cpu_ms_per_job", 2),
    Mark(
        name="CPU ms per task, more with a fresh child for each",
        needs=("fanout", "fanout_fresh"),
        value=lambda of: (
            of["fanout_fresh"]["cpu_ms_per_task"] - of["fanout"]["cpu_ms_per_task"]
        ),
        limit=2,
        most=True,
    ),
    Mark(
        name="reports per second and consumer",
        needs=("reports",),
        value=_figure("reports", "reports_per_second"),
        limit=6000,
    ),
    _at_most("executing shows p99, ms", "executing", "executing_p99_ms", 1000),
    _at_most("sweep of 10,000, seconds", "sweep", "sweep_seconds", 2),
    _at_most("list of jobs p95, ms", "history", "jobs_p95_ms", 50),
    _at_most("broker with a long backlog, MiB", "backlog", "broker_peak_mib", 128),
    _at_most("first start, seconds", "start", "first_start_seconds", 10),
    _at_most("second start, seconds", "start", "second_start_seconds", 5),
)


def marks_of(medians: Medians) -> list[dict[str, Any]]:
    """Return every mark whose benchmarks ran: mark, measured, wanted, met."""
    return [mark.row(medians) for mark in MARKS if set(mark.needs) <= set(medians)]
