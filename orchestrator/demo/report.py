"""
What the demo says in the end: pure functions from the API's data to things to print.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.demo.files import Expectation
from orchestrator.terminal.output import cell, seconds_between, shown, table

CONTRIBUTION_COLUMNS = ("worker", "source", "why", "score", "weight", "impact")

#: Findings shown of one analysis; all of them are in the JSON document.
_FINDINGS_SHOWN = 6

#: Kinds that nearly every file has say little of this one.
_DULL = frozenset({"url", "host", "email"})

SampleReport = Mapping[str, Any]


def sample_report(report: SampleReport) -> Group:
    """Return a sample's tasks, what they found, why, and the verdict, as printed."""
    title = f"\n{shown(report['fileName'])}  {report['sha256'][:16]}…"
    parts: list[RenderableType] = [
        Text(title, style="bold"),
        table(("worker", "state", "took", "score", "found"), _task_rows(report)),
        *(Text(f"  {line}") for line in reason_lines(report)),
    ]
    verdict = report["verdict"]
    if verdict is None:
        parts.append(Text("verdict: none, nothing counted"))
        return Group(*parts)
    parts.append(_verdict_line(verdict))
    parts.append(table(CONTRIBUTION_COLUMNS, contribution_rows(verdict)))
    return Group(*parts)


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


def contribution_rows(verdict: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    """Yield how each worker counted."""
    for contribution in verdict["contributions"]:
        impact = contribution["impact"]
        yield (
            contribution["worker"],
            contribution["source"],
            contribution["why"],
            contribution["score"],
            contribution["weight"],
            None if impact is None else f"{impact:.0f} %",
        )


def key_findings(analysis: Mapping[str, Any]) -> list[str]:
    """Return what matters of one analysis, in a few words each."""
    findings = findings_of(analysis)
    telling = [finding for finding in findings if finding["kind"] not in _DULL]
    kinds = {finding["kind"] for finding in findings}
    # A worker without findings in its result still names what it triggered.
    others = (detection["name"] for detection in analysis["triggeredDetections"])
    named = [
        *map(_finding, telling or findings),
        *(name for name in others if name not in kinds),
    ]
    unique = list(dict.fromkeys(named))
    if len(unique) > _FINDINGS_SHOWN:
        more = len(unique) - _FINDINGS_SHOWN
        return [*unique[:_FINDINGS_SHOWN], f"and {more} more"]
    return unique


def findings_of(analysis: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return an analysis's findings; other people's results need not have any."""
    return [finding for finding in _list_in(analysis, "findings") if "kind" in finding]


def reason_lines(report: SampleReport) -> Iterator[str]:
    """Yield a line for each analysis that explains its score."""
    for analysis in report["analyses"]:
        reasons = [
            f"{reason['reason']} (+{reason['points']})"
            for reason in _list_in(analysis, "reasons")
            if {"reason", "points"} <= reason.keys()
        ]
        if reasons:
            yield shown(f"{analysis['userAgent']['name']}: {'; '.join(reasons)}")


def shortfalls(
    reports: Sequence[SampleReport], expectations: Sequence[Expectation | None]
) -> Iterator[str]:
    """Yield a sentence for everything that is not as it should be."""
    for report, expectation in zip(reports, expectations, strict=True):
        name = report["fileName"]
        if report["job"]["state"] != "done":
            yield f"{name}: its job ended in {report['job']['state']}"
        for task in report["tasks"]:
            if task["state"] != "success":
                yield f"{name}: {task['worker']} ended in {task['state']}"
        if expectation is not None:
            yield from _unmet(report, expectation)


def _unmet(report: SampleReport, expectation: Expectation) -> Iterator[str]:
    status = (report["verdict"] or {}).get("status", "unknown")
    is_malicious = status == "malicious"
    if expectation.status != "any":
        should_be = expectation.status == "malicious"
        if is_malicious != should_be:
            wanted = expectation.status.replace("_", " ")
            yield f"{report['fileName']}: the verdict is {status}, not {wanted}"
    found = {
        (analysis["userAgent"]["name"], finding["kind"])
        for analysis in report["analyses"]
        for finding in findings_of(analysis)
    }
    for worker, kind in expectation.findings:
        if (worker, kind) not in found:
            yield f"{report['fileName']}: {worker} did not find {kind}"


def _task_rows(report: SampleReport) -> Iterator[tuple[object, ...]]:
    by_id = {analysis["analysisID"]: analysis for analysis in report["analyses"]}
    for task in report["tasks"]:
        own = [
            by_id[analysis["id"]]
            for analysis in task["analyses"]
            if analysis["id"] in by_id
        ]
        yield (
            task["worker"],
            task["state"],
            seconds_between(task["startTimestamp"], task["endTimestamp"]),
            max((analysis["analysisScore"] for analysis in own), default=None),
            "; ".join(text for analysis in own for text in key_findings(analysis))
            or None,
        )


def _verdict_line(verdict: Mapping[str, Any]) -> Text:
    tags = ", ".join(tag["value"] for tag in verdict["tags"])
    # A verdict by hand has no coverage.
    coverage = verdict["coverage"]
    return Text.assemble(
        "verdict: ",
        cell(verdict["status"]),
        f", score {verdict['score']}",
        "" if coverage is None else f", coverage {coverage:.0f} %",
        f", tags {shown(tags)}" if tags else "",
    )


def _list_in(analysis: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    # A result is whatever JSON its worker gives, and null when it is stored apart.
    result = analysis["analysisResult"]
    found = result.get(name) if isinstance(result, dict) else None
    if not isinstance(found, list):
        return []
    return [item for item in found if isinstance(item, dict)]


def _finding(finding: Mapping[str, Any]) -> str:
    details = [str(finding[key]) for key in ("name", "where") if finding.get(key)]
    return (
        f"{finding['kind']}: {' '.join(details)}" if details else str(finding["kind"])
    )
