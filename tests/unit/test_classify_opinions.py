"""
When an opinion counts: where the rules are not sure, and never against them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest

from orchestrator.classify import Decision, decide
from orchestrator.contracts.opinion import END_BYTES, Opinion, Question, both_ends
from orchestrator.domain.values import Decider

TEXT = b"nothing that any rule knows, and so a text\n"
RUBBISH = b"\0\1\2\3" * 16


@dataclass
class Says:
    """Has an opinion, and notes that it was asked."""

    label: str
    score: float = 1.0
    asked: list[int] = field(default_factory=list)

    def ask(self, head: bytes, tail: bytes, size: int) -> Opinion:  # noqa: ARG002
        """Return the opinion."""
        self.asked.append(size)
        return Opinion(number=0, label=self.label, score=self.score)


class Silent:
    """Has none in time."""

    def ask(self, head: bytes, tail: bytes, size: int) -> None:
        """Return nothing."""


def _decide(content: bytes, asked: Says | Silent) -> Decision:
    return decide(content, content, len(content), asked=asked)


@pytest.mark.parametrize(
    ("score", "decider"),
    [(0.79, Decider.RULES), (0.8, Decider.MAGIKA), (1.0, Decider.MAGIKA)],
)
def test_an_opinion_counts_from_a_score_on(score: float, decider: Decider):
    found = _decide(TEXT, Says("rust", score))

    assert found.decided_by is decider
    assert found.confidence == (score if decider is Decider.MAGIKA else 0.5)


def test_without_an_answer_the_rules_have_decided():
    assert _decide(TEXT, Silent()) == decide(TEXT, TEXT, len(TEXT))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"%PDF-1.7\n",
        b"MZ" + b"\0" * 200,
        b"#!/bin/sh\n",
        b"Write-Host 'a'\nGet-Process -Id 1\n",
        b"a,b,c\n1,2,3\n4,5,6\n",
        b'{"a": 1}',
    ],
)
def test_where_the_rules_name_a_kind_nobody_is_asked(content: bytes):
    says = Says("rust")

    found = _decide(content, says)

    assert says.asked == []
    assert found.decided_by is Decider.RULES


@pytest.mark.parametrize("label", ["python", "powershell", "sql", "csv", "html"])
def test_a_text_stays_one_for_workers_that_take_text(label: str):
    assert _decide(TEXT, Says(label)).kind.super_type == "text"


@pytest.mark.parametrize("label", ["png", "zip", "pebin", "tga", "pickle"])
def test_a_text_is_nothing_else_whoever_says_so(label: str):
    found = _decide(TEXT, Says(label))

    assert (found.kind.type, found.decided_by) == ("text", Decider.RULES)


@pytest.mark.parametrize(
    "label", ["pebin", "elf", "macho", "pdf", "docx", "doc", "xlsb", "rtf", "msi"]
)
def test_what_a_worker_could_not_read_is_not_believed(label: str):
    assert _decide(RUBBISH, Says(label)).kind.type == "unknown"


@pytest.mark.parametrize(
    ("label", "kind"),
    [("tga", "tga"), ("dicom", "dicom"), ("txt", "text"), ("python", "script")],
)
def test_what_the_rules_do_not_know_may_be_anything_else(label: str, kind: str):
    assert _decide(RUBBISH, Says(label)).kind.type == kind


@pytest.mark.parametrize("label", ["", "no such label", "unknown", "directory"])
@pytest.mark.parametrize("content", [TEXT, RUBBISH])
def test_a_label_without_a_name_here_changes_nothing(label: str, content: bytes):
    assert _decide(content, Says(label)).decided_by is Decider.RULES


def test_of_a_large_file_both_ends_are_sent_and_no_more():
    head, tail = b"a" * 40_000, b"b" * 60_000

    assert both_ends(head, tail, 10**9) == b"a" * END_BYTES + b"b" * END_BYTES
    assert both_ends(b"abc", b"abc", 3) == b"abc"


@pytest.mark.parametrize("score", [math.nan, math.inf, -1.0, 1.5])
def test_an_answer_that_is_none_is_not_taken(score: float):
    assert Opinion.of(Opinion(number=1, label="c", score=score).packed()) is None
    assert Opinion.of(b"") is None
    assert Opinion.of(b"\0\0\0\1") is None


def test_what_is_asked_and_answered_arrives_as_it_was():
    question = Question(number=7, content=b"\0\xff")
    opinion = Opinion(number=7, label="go", score=0.5)

    assert Question.of(question.packed()) == question
    assert Opinion.of(opinion.packed()) == opinion
