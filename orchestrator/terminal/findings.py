"""
What an analysis says, in lines: findings, reasons, tags, detections, files, cuts.

Reads results of the bundled workers' shape, and bears any other. Prints nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.terminal.words import size

#: Findings shown of one analysis in a row; all of them are in the JSON document.
_FINDINGS_SHOWN = 6

#: Kinds that nearly every file has say little of this one.
_DULL = frozenset({"url", "host", "email"})

#: Files told of one analysis: an archive may hold thousands.
_FILES_SHOWN = 20

AnalysisData = Mapping[str, Any]


def findings_of(analysis: AnalysisData) -> list[Mapping[str, Any]]:
    """Return an analysis's findings; other people's results need not have any."""
    return [finding for finding in _list_in(analysis, "findings") if "kind" in finding]


def key_findings(analysis: AnalysisData) -> list[str]:
    """Return what matters of one analysis, in a few words each."""
    findings = findings_of(analysis)
    telling = [finding for finding in findings if finding["kind"] not in _DULL]
    named = dict.fromkeys(map(_finding, telling or findings))
    return _some(list(named), _FINDINGS_SHOWN)


def analysis_lines(analysis: AnalysisData) -> Iterator[tuple[str, str]]:
    """Yield what an analysis says: what kind of thing it is, and it in one line."""
    for text in key_findings(analysis):
        yield "found", text
    for text in reasons(analysis):
        yield "reason", text
    if tags := [f"{tag['type']} {tag['value']}" for tag in analysis["tags"]]:
        yield "tags", ", ".join(tags)
    if detections := [
        f"{each['name']} ({each['assessment']})"
        for each in analysis["triggeredDetections"]
    ]:
        yield "detected", ", ".join(_some(detections, _FINDINGS_SHOWN))
    for text in _some([*map(file_line, analysis["files"])], _FILES_SHOWN):
        yield "file", text
    for text in cuts(analysis):
        yield "cut", text


def reasons(analysis: AnalysisData) -> Iterator[str]:
    """Yield what gave points, each with how many."""
    for reason in _list_in(analysis, "reasons"):
        if {"reason", "points"} <= reason.keys():
            yield f"{reason['reason']} (+{reason['points']})"


def cuts(analysis: AnalysisData) -> Iterator[str]:
    """Yield what is not in full, and how much of it there is."""
    result = analysis["analysisResult"]
    found = result.get("truncated") if isinstance(result, dict) else None
    for name, amount in found.items() if isinstance(found, dict) else ():
        yield f"{name}: {amount}"
    if analysis["resultSha256"] is not None:
        yield f"the result is stored apart: {analysis['resultSha256']}"


def file_line(file: Mapping[str, Any]) -> str:
    """Say in one line which file came with an analysis."""
    name = file["fileName"] or "no name"
    return f"{file['kind']} {name}, {size(file['size'])}, {file['sha256']}"


def _some(texts: Sequence[str], most: int) -> list[str]:
    if len(texts) <= most:
        return [*texts]
    return [*texts[:most], f"and {len(texts) - most} more"]


def _list_in(analysis: AnalysisData, name: str) -> list[Mapping[str, Any]]:
    # A result is whatever JSON its worker gives, and null when it is stored apart.
    result = analysis["analysisResult"]
    found = result.get(name) if isinstance(result, dict) else None
    if not isinstance(found, list):
        return []
    return [item for item in found if isinstance(item, dict)]


def _finding(finding: Mapping[str, Any]) -> str:
    details = [str(finding[key]) for key in ("name", "where") if finding.get(key)]
    return ": ".join([str(finding["kind"]), *filter(None, [" in ".join(details)])])
