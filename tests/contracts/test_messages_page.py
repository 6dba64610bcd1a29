"""
The page for workers of other languages: every field, the worked example, every rule.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from orchestrator.check.rules import RULES
from orchestrator.check.run import WHOLE
from orchestrator.contracts.alive import Alive, Held, Manifest
from orchestrator.contracts.assignment import (
    AssignedSample,
    Assignment,
    Classification,
    Where,
)
from orchestrator.contracts.report import (
    Detection,
    Reference,
    Report,
    ReportedAnalysis,
    Tag,
)
from orchestrator.contracts.signature import (
    assignment_signature,
    attempt_proof,
    body_signature,
    enrolment_proof,
    stop_signature,
)

PAGE = (Path(__file__).parents[2] / "docs" / "messages.md").read_text()

SECRET = "0123456789abcdef" * 4
TOKEN = "k1.hWqV0n2v"
ATTEMPT = "01a224ec-dc78-72f5-9937-9d5fd0790a44.1"
REPLICA = "length-5f2c91aa@host7"

SAID: tuple[type[BaseModel], ...] = (
    *(Assignment, AssignedSample, Where, Classification),
    *(Report, ReportedAnalysis, Tag, Detection, Reference),
    *(Alive, Held, Manifest),
)


@pytest.mark.parametrize("message", SAID)
def test_every_field_is_told(message: type[BaseModel]):
    told = set(re.findall(r"`(\w+)`", PAGE))

    assert set(message.model_fields) - told == set()


def test_the_worked_example_is_right():
    shown = re.findall(r"\| `([0-9a-f]{64})` \|", PAGE)
    body = b'[[], {"assignment": {"version": 1}}, {}]'

    assert shown == [
        assignment_signature(SECRET, celery_id=ATTEMPT, token=TOKEN, body=body),
        stop_signature(SECRET, replica=REPLICA, attempts=[ATTEMPT]),
        stop_signature(SECRET, replica=REPLICA, attempts=[], drain=True),
        body_signature(SECRET, b'{"version": 1, "type": "alive"}'),
        attempt_proof(SECRET, TOKEN),
        enrolment_proof(SECRET, "length"),
    ]
    for value in (SECRET, TOKEN, REPLICA, body.decode()):
        assert f"`{value}`" in PAGE


def test_the_rules_are_those_that_are_tried():
    told = re.findall(r"^(\d+)\. \*\*(.+?)\.?\*\*", PAGE, re.MULTILINE)
    tried = [(str(rule.number), rule.title) for rule in RULES]

    assert told == [*tried, (str(len(RULES) + 1), WHOLE)]
