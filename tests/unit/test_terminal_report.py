from __future__ import annotations

from typing import Any

import pytest

from orchestrator.client.report import shape_report
from orchestrator.terminal.findings import analysis_lines, key_findings, reasons
from orchestrator.terminal.report import contribution_rows, print_report
from orchestrator.terminal.story import messages, story_rows, task_fields
from tests.fixtures.reports import JOB, TASK, analysis, report, task, verdict

HOSTILE = "[/red]\x1b[2J\u202egpj.exe"


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return what is printed of a report, spaces apart."""

    def lines(of: dict[str, Any]) -> list[str]:
        print_report(of)
        return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]

    return lines


def test_a_report_has_what_the_job_is_and_what_came_of_it(printed):
    lines = printed(report())

    assert lines[:5] == [
        f"job {JOB}",
        "state done",
        "file letter.docm",
        f"sample {'ab' * 32}",
        "size 1.5 KiB",
    ]
    assert "took 0.75 s" in lines
    assert "verdict suspicious, score 30, coverage 100 %, tags macro" in lines
    assert "document success 60 0.25 s 1 -" in lines
    assert "found macro: vbaProject.bin" in lines
    assert "reason Carries a macro (+60)" in lines
    assert "detected macro (malicious)" in lines


def test_what_is_not_over_says_what_it_waits_for(printed):
    waiting = {"detail": "no replica alive, ends in 58 min"}
    open_task = task(state="enqueued", endTimestamp=None, waiting=waiting)

    lines = printed(report(verdict=None, endTimestamp=None, tasks=[open_task]))

    assert "verdict not yet" in lines
    assert "waits no replica alive, ends in 58 min" in lines


def test_a_job_of_which_nothing_counted_says_why(printed):
    lines = printed(report(verdict=None, noVerdict="no worker was selected"))

    assert "verdict none: no worker was selected" in lines


def test_a_verdict_by_hand_has_no_coverage(printed):
    lines = printed(report(verdict=verdict(coverage=None)))

    assert "verdict suspicious, score 30, tags macro" in lines


def test_of_a_failure_the_first_line_is_told(printed):
    failed = task(state="failed", reason="crashed", message="Boom\n  at line 3")

    lines = printed(report(tasks=[failed]))

    assert "document failed - 0.25 s 1 crashed" in lines
    assert "says Boom" in lines


def test_nothing_of_a_sample_does_anything_to_a_terminal(
    capsys: pytest.CaptureFixture[str],
):
    found = {"findings": [{"kind": "macro", "where": HOSTILE}]}
    file = {"kind": "child", "fileName": HOSTILE, "size": 1, "sha256": "ab" * 32}
    hostile = analysis(
        {**found, "reasons": [{"reason": HOSTILE, "points": 1}]},
        HOSTILE,
        tags=[{"type": "family", "value": HOSTILE}],
        files=[file],
    )
    print_report(
        report(
            fileName=HOSTILE,
            tasks=[task(analyses=[hostile], message=HOSTILE)],
            verdict=verdict(tags=[{"type": "family", "value": HOSTILE, "count": 1}]),
        )
    )

    said = capsys.readouterr().out
    assert said.count("[/red]\ufffd[2J\ufffdgpj.exe") == 8
    assert "\x1b" not in said
    assert "\u202e" not in said


@pytest.mark.parametrize(
    "result", [None, [], "text", 7, {"findings": None, "truncated": [1]}, {}]
)
def test_a_result_of_any_shape_can_be_shown(result: object):
    odd = analysis(result, "Packed")

    assert list(analysis_lines(odd)) == [("detected", "Packed (malicious)")]
    assert list(reasons(odd)) == []


def test_findings_that_nearly_every_file_has_yield_to_telling_ones():
    url, macro = {"kind": "url", "name": "https://example.org"}, {"kind": "macro"}

    assert key_findings(analysis({"findings": [url, macro]})) == ["macro"]
    assert key_findings(analysis({"findings": [url]})) == ["url: https://example.org"]


def test_many_findings_are_counted_instead_of_listed():
    found = [{"kind": f"k{number}"} for number in range(10)]

    assert key_findings(analysis({"findings": found}))[-1] == "and 4 more"


def test_what_was_cut_and_what_was_kept_is_told():
    file = {"kind": "child", "fileName": "a.exe", "size": 2048, "sha256": "cd" * 32}
    kept = analysis({"truncated": {"macros": "500 of 9,000"}}, files=[file])

    assert list(analysis_lines(kept)) == [
        ("file", f"child a.exe, 2.0 KiB, {'cd' * 32}"),
        ("cut", "macros: 500 of 9,000"),
    ]


def test_a_missing_contribution_has_no_impact():
    row = {"worker": "w", "source": "missing", "why": "failed", "score": None}
    missing = {"contributions": [{**row, "weight": 1.0, "impact": None}]}

    assert list(contribution_rows(missing)) == [
        ("w", "missing", "failed", None, 1.0, None)
    ]


def test_one_document_has_all_that_several_answers_say():
    link = {"id": "a1", "analysisScore": 60, "userAgent": {}}
    other = verdict(job=None, status="malicious")
    waiting = {"task": TASK, "detail": "your turn: next"}

    document = shape_report(
        report(),
        [task(analyses=[link])],
        analyses=[analysis("all of it")],
        verdicts=[other, verdict(), verdict(score=1)],
        explained={"waiting": [waiting], "noVerdict": None},
    )

    assert document["verdict"]["score"] == 30
    (only,) = document["tasks"]
    assert only["analyses"][0]["analysisResult"] == "all of it"
    assert only["waiting"] == waiting


def test_a_task_has_readable_times_and_its_events_apart():
    fields = task_fields(task(enqueuedTimestamp=1_700_000_000_000))

    assert str(fields["enqueued"]) == "2023-11-14 22:13:20"
    assert {"analyses", "events", "losses"}.isdisjoint(fields)


def event(attempt: int, kind: str, at: int, **fields: Any) -> dict[str, Any]:
    known = {"reason": None, "actor": None, "message": None}
    return {"attempt": attempt, "kind": kind, "timestamp": at, **known, **fields}


def test_a_story_has_every_attempt_in_order_to_the_millisecond():
    lost = event(1, "lost", 3_001, reason="worker_lost", actor="lease", message="gone")
    again = task(
        attempt=2,
        enqueuedTimestamp=0,
        queuedTimestamp=3_001,
        publishedTimestamp=4_000,
        startTimestamp=5_000,
        endTimestamp=6_000,
        events=[lost],
    )

    rows = story_rows(again)

    assert [(str(when), *rest[:2]) for when, *rest in rows] == [
        ("1970-01-01 00:00:00.000", 1, "enqueued"),
        ("not known", 1, "published and run"),
        ("1970-01-01 00:00:03.001", 1, "lost"),
        ("1970-01-01 00:00:03.001", 2, "queued"),
        ("1970-01-01 00:00:04.000", 2, "published"),
        ("1970-01-01 00:00:05.000", 2, "executing"),
        ("1970-01-01 00:00:06.000", 2, "success"),
    ]
    assert rows[2][3:] == ("worker_lost", "lease")
    assert rows[5][3:] == (None, "document-1@host")
    assert len(story_rows({**again, "endTimestamp": None})) == 6


def test_an_ending_that_is_an_event_is_told_once():
    failed = task(state="failed", events=[event(1, "failed", 1250, reason="crashed")])

    assert [row[2] for row in story_rows(failed)] == [
        "enqueued", "published", "executing", "failed",
    ]  # fmt: skip


def test_a_traceback_keeps_its_lines():
    trace = "Traceback:\n\tFile a\n  boom"
    failed = task(
        state="failed", message=trace, events=[event(1, "failed", 1250, message=trace)]
    )

    assert list(messages(failed)) == [
        ("attempt 1, failed", ["Traceback:", "        File a", "  boom"])
    ]
    assert list(messages(task(message="one line"))) == [
        ("attempt 1, success", ["one line"])
    ]
