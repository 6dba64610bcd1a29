"""
The report of a job, as people read it: what it is, its verdict, what each worker says.

Reads the document of ``client/report.py``; asks nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from orchestrator.terminal.findings import analysis_lines
from orchestrator.terminal.output import (
    print_fields,
    print_heading,
    print_labelled,
    print_line,
    print_table,
)
from orchestrator.terminal.tables import cell
from orchestrator.terminal.words import Exact, first_line, moment, size, time_between

TASK_COLUMNS = ("worker", "state", "score", "took", "attempts", "reason")
CONTRIBUTION_COLUMNS = ("worker", "source", "why", "score", "weight", "impact")

Report = Mapping[str, Any]


def print_report(report: Report) -> None:
    """Print the whole of it."""
    print_fields(head_fields(report))
    print_outcome(report)


def print_outcome(report: Report) -> None:
    """Print the verdict, each worker's part, and what each says."""
    print_line(verdict_line(report))
    print_line()
    print_table(TASK_COLUMNS, task_rows(report["tasks"]))
    for task in report["tasks"]:
        lines = list(task_lines(task))
        if lines:
            print_heading(task["worker"])
        for label, line in lines:
            print_labelled(label, line)


def head_fields(report: Report) -> dict[str, object]:
    """Return what is known of a job, before what came of it."""
    sample = report["analysedSample"]
    fields = {
        "job": report["id"],
        "state": report["state"],
        "file": report["fileName"],
        "sample": sample["id"],
        "size": size(sample["size"]),
        "customer": report["customer"]["shortName"],
        "priority": report["priority"],
        "enqueued": moment(report["enqueuedTimestamp"]),
        "started": moment(report["startTimestamp"]),
        "ended": moment(report["endTimestamp"]),
        "took": time_between(report["enqueuedTimestamp"], report["endTimestamp"]),
    }
    return {name: value for name, value in fields.items() if value is not None}


def verdict_line(report: Report) -> Text:
    """Say in one line what the verdict is, or why there is none."""
    verdict = report["verdict"]
    if verdict is None:
        why = "not yet" if report["endTimestamp"] is None else "none"
        said = f": {report['noVerdict']}" if report["noVerdict"] else ""
        return Text.assemble(("verdict", "bold"), f"   {why}", cell(said))
    tags = ", ".join(tag["value"] for tag in verdict["tags"])
    # A verdict by hand has no coverage.
    coverage = verdict["coverage"]
    return Text.assemble(
        ("verdict", "bold"),
        "   ",
        cell(verdict["status"]),
        f", score {verdict['score']}",
        "" if coverage is None else f", coverage {coverage:.0f} %",
        cell(f", tags {tags}" if tags else ""),
    )


def task_rows(tasks: Sequence[Mapping[str, Any]]) -> list[tuple[object, ...]]:
    """Return tasks as rows: worker, state, score, took, attempts, reason."""
    return [
        (
            task["worker"],
            task["state"],
            score_of(task),
            time_between(task["startTimestamp"], task["endTimestamp"]),
            task["attempt"],
            task["reason"],
        )
        for task in tasks
    ]


def score_of(task: Mapping[str, Any]) -> int | None:
    """Return the highest score of a task's analyses, as its verdict takes it."""
    scores = (analysis["analysisScore"] for analysis in task["analyses"])
    return max(scores, default=None)


def task_lines(task: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what there is to say of one worker's part: a label, and a line."""
    if task["waiting"] is not None:
        yield "waits", task["waiting"]["detail"]
    said = first_line(task["message"])
    if said is not None:
        yield "says", said
    for analysis in task["analyses"]:
        yield from analysis_lines(analysis)


def contribution_rows(verdict: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    """Yield how each worker counted."""
    for contribution in verdict["contributions"]:
        impact = contribution["impact"]
        percent = None if impact is None else f"{impact:.0f} %"
        yield (
            contribution["worker"],
            contribution["source"],
            contribution["why"],
            contribution["score"],
            contribution["weight"],
            percent and Exact(percent, percent),
        )
