"""
What the demo says in the end: pure functions from the API's data to things to print.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.cli.demo_files import Expectation
from orchestrator.cli.output import cell, seconds_between, table

CONTRIBUTION_COLUMNS = ("worker", "source", "why", "score", "weight", "impact")

#: Findings shown of one analysis; all of them are in the JSON document.
_FINDINGS_SHOWN = 6

#: Kinds that nearly every file has say little of this one.
_DULL = frozenset({"url", "host", "email"})

SampleReport = Mapping[str, Any]


def sample_report(report: SampleReport) -> Group:
    """Return a sample's tasks, key findings and verdict, as printed."""
    parts: list[RenderableType] = [
        Text(f"\n{report['fileName']}  {report['sha256'][:16]}…", style="bold"),
        table(("worker", "state", "took", "score", "found"), _task_rows(report)),
    ]
    verdict = report["verdict"]
    if verdict is None:
        parts.append(Text("verdict: none, nothing counted"))
    else:
        parts.append(
            Text.from_markup(
                f"verdict: {cell(verdict['status'])}, score {verdict['score']},"
                f" coverage {verdict['coverage']:.0f} %"
            )
        )
        parts.append(table(CONTRIBUTION_COLUMNS, contribution_rows(verdict)))
    return Group(*parts)


def contribution_rows(verdict: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    """Yield how each worker counted."""
    for one in verdict["contributions"]:
        impact = one["impact"]
        yield (
            one["worker"],
            one["source"],
            one["why"],
            one["score"],
            one["weight"],
            None if impact is None else f"{impact:.0f} %",
        )


def key_findings(analysis: Mapping[str, Any]) -> list[str]:
    """Return what matters of one analysis, in a few words each."""
    result = analysis["analysisResult"]
    findings = result.get("findings", []) if isinstance(result, dict) else []
    telling = [one for one in findings if one["kind"] not in _DULL]
    named = [_finding(one) for one in telling or findings]
    unique = list(dict.fromkeys(named))
    if len(unique) > _FINDINGS_SHOWN:
        more = len(unique) - _FINDINGS_SHOWN
        return [*unique[:_FINDINGS_SHOWN], f"and {more} more"]
    return unique


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
        (analysis["userAgent"]["name"], one["kind"])
        for analysis in report["analyses"]
        for one in analysis["analysisResult"].get("findings", [])
    }
    for worker, kind in expectation.findings:
        if (worker, kind) not in found:
            yield f"{report['fileName']}: {worker} did not find {kind}"


def _task_rows(report: SampleReport) -> Iterator[tuple[object, ...]]:
    by_id = {one["analysisID"]: one for one in report["analyses"]}
    for task in report["tasks"]:
        own = [by_id[one["id"]] for one in task["analyses"] if one["id"] in by_id]
        yield (
            task["worker"],
            task["state"],
            seconds_between(task["startTimestamp"], task["endTimestamp"]),
            max((one["analysisScore"] for one in own), default=None),
            "; ".join(text for one in own for text in key_findings(one)) or None,
        )


def _finding(finding: Mapping[str, Any]) -> str:
    details = [str(finding[key]) for key in ("name", "where") if finding.get(key)]
    return f"{finding['kind']}: {' '.join(details)}" if details else finding["kind"]
