"""The score of a bundled analyzer explains itself."""

from __future__ import annotations

import jsonschema
from hypothesis import given
from hypothesis import strategies as st

from workers.findings import Findings, Kind, clean, schema

KINDS = {
    "weak": Kind(points=10, reason="Weak", behaviour="odd"),
    "strong": Kind(points=80, reason="Strong"),
    "note": Kind(points=0, reason="Only an observation"),
}


def test_the_score_is_the_sum_of_the_kinds_each_counted_once():
    findings = Findings({**KINDS, "strong": Kind(points=30, reason="Strong")})

    for name in ("a", "b", "c"):
        findings.add("weak", name=name)
    findings.add("strong")

    assert findings.score == 40


def test_the_score_can_be_that_of_the_strongest_kind():
    findings = Findings(KINDS, strongest_only=True)

    findings.add("weak")
    findings.add("strong")

    assert findings.score == 80


def test_observations_do_not_score():
    findings = Findings(KINDS)

    findings.add("note", name="something")

    assert findings.score == -1
    assert "note" in findings


def test_the_score_stays_below_its_cap_and_the_summary_says_so():
    findings = Findings(KINDS, highest=50)
    findings.add("strong")

    analysis = findings.analysis({})

    assert analysis.score == 50
    assert "capped at 50" in analysis.result["summary"]


def test_the_reasons_name_the_strongest_first_and_their_points():
    findings = Findings(KINDS)
    findings.add("weak")
    findings.add("strong")

    analysis = findings.analysis({})

    assert analysis.result["reasons"] == [
        {"points": 80, "reason": "Strong"},
        {"points": 10, "reason": "Weak"},
    ]
    assert analysis.message == analysis.result["summary"]


def test_only_a_finding_that_convicts_alone_is_a_malicious_detection():
    findings = Findings(KINDS)
    for kind in KINDS:
        findings.add(kind)

    analysis = findings.analysis({})

    assert {item.name: item.assessment for item in analysis.detections} == {
        "weak": "unknown",
        "strong": "malicious",
        "note": "informational",
    }
    assert analysis.possible_detections == 3


def test_a_flood_of_one_kind_is_cut_and_leaves_room_for_the_others():
    findings = Findings(KINDS, per_kind=5)
    for number in range(1000):
        findings.add("weak", name=str(number))
    findings.add("strong")

    result = findings.analysis({}).result

    assert len(result["findings"]) == 6
    assert result["truncated"] == {"findings of weak": "5 of 1000"}


def test_a_result_and_its_summary_say_what_was_cut():
    findings = Findings(KINDS)
    findings.cut("sections", "96 of 300")

    analysis = findings.analysis({})

    assert analysis.result["truncated"] == {"sections": "96 of 300"}
    assert analysis.message == (
        "Nothing that scores was found. Not all is shown: sections (96 of 300)."
    )


def test_what_is_whole_says_nothing_of_cuts():
    analysis = Findings(KINDS).analysis({})

    assert analysis.result["truncated"] == {}
    assert analysis.message == "Nothing that scores was found."


def test_a_thousand_cuts_are_told_in_a_few_words():
    findings = Findings(KINDS)
    for number in range(1000):
        findings.cut(f"part {number}", "not read")

    analysis = findings.analysis({})

    assert len(analysis.result["truncated"]) == 20
    assert str(analysis.message).endswith("part 4 (not read) and 15 more.")


def test_a_repetition_adds_no_row():
    findings = Findings(KINDS)
    findings.add("weak", name="same")
    findings.add("weak", name="same")

    assert len(findings.analysis({}).result["findings"]) == 1


def test_the_common_part_of_a_result_fits_its_schema():
    findings = Findings(KINDS)
    findings.add("weak", name="a", module="b", where="c", detail="d")

    jsonschema.validate(findings.analysis({"facts": 1}).result, schema({"facts": {}}))


@given(st.text() | st.binary())
def test_clean_text_is_short_and_printable_whatever_it_was(raw: str | bytes):
    text = clean(raw, 40)

    assert len(text) <= 40
    assert text.isprintable()
