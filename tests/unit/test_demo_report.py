from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from orchestrator.demo.files import Expectation
from orchestrator.demo.report import (
    contribution_rows,
    key_findings,
    progress_line,
    reason_lines,
    sample_report,
    shortfalls,
    worker_counts,
)

ANY = Expectation(status="any")


def analysis(result: object = None, *detections: str, **fields: Any) -> dict[str, Any]:
    return {
        "analysisID": "a1",
        "userAgent": {"name": "document", "version": "1"},
        "analysisScore": 60,
        "analysisResult": result,
        "triggeredDetections": [{"name": name} for name in detections],
        **fields,
    }


def report(**fields: Any) -> dict[str, Any]:
    task = {
        "worker": "document",
        "state": "success",
        "startTimestamp": 1000,
        "endTimestamp": 1250,
        "analyses": [{"id": "a1"}],
    }
    contribution = {
        "worker": "document",
        "source": "own",
        "why": None,
        "score": 60,
        "weight": 0.5,
        "impact": 100.0,
    }
    verdict = {
        "status": "suspicious",
        "score": 30,
        "coverage": 100.0,
        "tags": [{"type": "behaviour", "value": "macro"}],
        "contributions": [contribution],
    }
    found = {
        "findings": [{"kind": "macro", "where": "vbaProject.bin"}],
        "reasons": [{"points": 60, "reason": "Carries a macro"}],
    }
    return {
        "sha256": "ab" * 32,
        "fileName": "letter.docm",
        "job": {"state": "done"},
        "tasks": [task],
        "analyses": [analysis(found, "macro")],
        "verdict": verdict,
        **fields,
    }


def printed(of: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(sample_report(of))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_sample_shows_tasks_findings_reasons_and_the_verdict():
    lines = [" ".join(line.split()) for line in printed(report()).splitlines()]

    assert "document success 0.25 s 60 macro: vbaProject.bin" in lines
    assert "document: Carries a macro (+60)" in lines
    assert "verdict: suspicious, score 30, coverage 100 %, tags macro" in lines
    assert "document own - 60 0.5 100 %" in lines


def test_a_sample_of_which_nothing_counted_has_no_verdict():
    assert "verdict: none" in printed(report(verdict=None))


def test_a_verdict_by_hand_has_no_coverage():
    verdict = {**report()["verdict"], "coverage": None}

    assert "score 30, tags" in printed(report(verdict=verdict))


def test_a_hostile_file_name_is_only_text():
    text = printed(report(fileName="[/red]\x1b[2J.exe"))

    assert "[/red]" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("result", [None, [], "text", 7, {"findings": None}, {}])
def test_a_result_of_any_shape_can_be_shown(result: object):
    odd = report(analyses=[analysis(result, "Packed")])

    assert "Packed" in printed(odd)
    assert list(reason_lines(odd)) == []


def test_findings_that_nearly_every_file_has_yield_to_telling_ones():
    url, macro = {"kind": "url", "name": "https://example.org"}, {"kind": "macro"}

    assert key_findings(analysis({"findings": [url, macro]})) == ["macro"]
    assert key_findings(analysis({"findings": [url]})) == ["url: https://example.org"]


def test_a_detection_is_not_said_twice():
    assert key_findings(analysis({"findings": [{"kind": "a"}]}, "a", "b")) == ["a", "b"]


def test_many_findings_are_counted_instead_of_listed():
    found = [{"kind": f"k{number}"} for number in range(10)]

    assert key_findings(analysis({"findings": found}))[-1] == "and 4 more"


def test_a_missing_contribution_has_no_impact():
    row = {"worker": "w", "source": "missing", "why": "failed", "score": None}
    verdict = {"contributions": [{**row, "weight": 1.0, "impact": None}]}

    assert list(contribution_rows(verdict)) == [
        ("w", "missing", "failed", None, 1.0, None)
    ]


def test_progress_is_counted_by_worker():
    tasks = [
        {"worker": worker, "endTimestamp": end}
        for worker, end in [("yara", 1), ("yara", None), ("document", 5)]
    ]

    assert progress_line(worker_counts(tasks)) == "document 1/1, yara 1/2"


def test_what_went_well_has_no_shortfall():
    wanted = Expectation(status="not_malicious", findings=(("document", "macro"),))

    assert list(shortfalls([report()], [wanted])) == []


@pytest.mark.parametrize(
    ("fields", "wanted", "sentence"),
    [
        ({"job": {"state": "timeout"}}, ANY, "letter.docm: its job ended in timeout"),
        (
            {"tasks": [{"worker": "yara", "state": "failed"}]},
            ANY,
            "letter.docm: yara ended in failed",
        ),
        (
            {},
            Expectation(status="malicious"),
            "letter.docm: the verdict is suspicious, not malicious",
        ),
        (
            {"verdict": None},
            Expectation(status="malicious"),
            "letter.docm: the verdict is unknown, not malicious",
        ),
        (
            {"analyses": [analysis(None)]},
            Expectation(status="any", findings=(("document", "macro"),)),
            "letter.docm: document did not find macro",
        ),
    ],
)
def test_each_shortfall_is_a_sentence(
    fields: dict[str, Any], wanted: Expectation, sentence: str
):
    assert list(shortfalls([report(**fields)], [wanted])) == [sentence]


def test_files_of_ones_own_promise_nothing_but_success():
    assert list(shortfalls([report()], [None])) == []
