"""
What the demo says of how far it is, and of what is not as it should be. Pure functions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.client.report import Document
from orchestrator.demo.files import Expectation
from orchestrator.terminal.findings import findings_of
from orchestrator.terminal.words import first_line


def worker_counts(tasks: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """Return of each worker how many tasks have ended, of how many."""
    total = Counter(task["worker"] for task in tasks)
    ended = Counter(task["worker"] for task in tasks if task["endTimestamp"])
    return {worker: (ended[worker], total[worker]) for worker in sorted(total)}


def progress_line(counts: Mapping[str, tuple[int, int]]) -> str:
    """Return the counts in one line."""
    return ", ".join(
        f"{worker} {done}/{all_}" for worker, (done, all_) in counts.items()
    )


def shortfalls(
    reports: Sequence[Document], expectations: Sequence[Expectation | None]
) -> Iterator[str]:
    """Yield a sentence for everything that is not as it should be."""
    for report, expectation in zip(reports, expectations, strict=True):
        name = report["fileName"]
        if report["state"] != "done":
            yield f"{name}: its job ended in {report['state']}"
        for task in report["tasks"]:
            if task["state"] != "success":
                yield f"{name}: {_ending(task)}"
        if expectation is not None:
            yield from _unmet(report, expectation)


def _ending(task: Mapping[str, Any]) -> str:
    why = [part for part in (task["reason"], first_line(task["message"])) if part]
    return ": ".join([f"{task['worker']} ended in {task['state']}", *why])


def _unmet(report: Document, expectation: Expectation) -> Iterator[str]:
    status = (report["verdict"] or {}).get("status", "unknown")
    is_malicious = status == "malicious"
    if expectation.status != "any":
        should_be = expectation.status == "malicious"
        if is_malicious != should_be:
            wanted = expectation.status.replace("_", " ")
            yield f"{report['fileName']}: the verdict is {status}, not {wanted}"
    found = {
        (analysis["userAgent"]["name"], finding["kind"])
        for task in report["tasks"]
        for analysis in task["analyses"]
        for finding in findings_of(analysis)
    }
    for worker, kind in expectation.findings:
        if (worker, kind) not in found:
            yield f"{report['fileName']}: {worker} did not find {kind}"
