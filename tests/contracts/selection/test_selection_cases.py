"""
Two hundred selections give the answers that they gave before.
"""

from __future__ import annotations

import json

import pytest

from orchestrator.domain.selection import SelectionReason
from tests.contracts.selection.cases import COUNT, FILE, answer

CASES = json.loads(FILE.read_text())


@pytest.mark.parametrize("number", range(COUNT))
def test_a_case_is_answered_as_before(number: int):
    case = CASES[number]

    assert answer(case) == case["expected"]


def test_the_cases_show_every_reason_and_every_kind_of_rule():
    reasons = {
        reason
        for case in CASES
        for _, reason, _ in case["expected"]["workers"].values()
    }
    matches = {
        tuple(sorted(rule["match"]))
        for case in CASES
        for rule in case["policy"]["rules"]
    }

    assert len(CASES) == COUNT
    assert reasons == {reason.value for reason in SelectionReason}
    assert matches == {("customers",), ("keys", "values"), ("superTypes", "types")}
