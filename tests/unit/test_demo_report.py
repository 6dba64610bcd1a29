from __future__ import annotations

from typing import Any

import pytest

from orchestrator.demo.files import Expectation
from orchestrator.demo.report import progress_line, shortfalls, worker_counts
from tests.fixtures.reports import analysis, report, task

ANY = Expectation(status="any")


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
        ({"state": "timeout"}, ANY, "letter.docm: its job ended in timeout"),
        (
            {"tasks": [task(state="failed")]},
            ANY,
            "letter.docm: document ended in failed",
        ),
        (
            {
                "tasks": [
                    task(state="failed", reason="crashed", message="\nboom\nat line 3")
                ]
            },
            ANY,
            "letter.docm: document ended in failed: crashed: boom",
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
            {"tasks": [task(analyses=[analysis(None)])]},
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
