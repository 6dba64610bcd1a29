"""
What the benchmarks make of their measurements.
"""

from __future__ import annotations

import pytest

from orchestrator.bench.summary import Result, percentile
from tests.benchmarks.marks import MARKS, marks_of

FANOUT = {
    "tasks_per_second": 900.0,
    "lone_job_p50_ms": 30.0,
    "lone_job_p95_ms": 35.0,
    "cpu_ms_per_task": 2.0,
    "engine_cpu_ms_per_task": 0.3,
    "api_cpu_ms_per_job": 2.5,
}
KARTON = {"tasks_per_second": 800.0, "lone_job_p50_ms": 10.0}


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 10.0), (0.95, 19.0), (1.0, 20.0), (0.01, 1.0)]
)
def test_a_percentile_is_one_of_the_values(share: float, expected: float):
    assert percentile([float(x) for x in range(20, 0, -1)], share) == expected


def test_the_median_is_taken_of_each_figure_by_itself():
    runs = [{"a": 1.0, "b": 9.0}, {"a": 3.0, "b": 5.0}, {"a": 2.0, "b": 1.0}]

    assert Result(benchmark="x", parameters={}, runs=runs).medians == {"a": 2, "b": 5}


def test_a_mark_is_said_only_when_all_that_it_needs_was_measured():
    assert marks_of({"karton": KARTON}) == []
    assert {mark["mark"] for mark in marks_of({"fanout": FANOUT})} == {
        "lone job p50, ms",
        "lone job p95, ms",
        "CPU ms per task, all parts",
        "engine CPU ms per task",
        "API CPU ms per job of 8 tasks",
    }


def test_marks_are_ratios_of_one_run():
    marks = {
        mark["mark"]: mark for mark in marks_of({"fanout": FANOUT, "karton": KARTON})
    }

    rate = marks["end to end, times karton"]
    lone = marks["lone job p50, times karton"]
    assert (rate["measured"], rate["met"]) == (1.125, True)
    assert (lone["measured"], lone["met"]) == (3.0, False)


def test_every_mark_has_a_name_of_its_own():
    assert len({mark.name for mark in MARKS}) == len(MARKS)
