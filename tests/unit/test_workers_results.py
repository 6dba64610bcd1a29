from __future__ import annotations

import jsonschema
import pytest

from workers.replica.results import RejectedResultError, ResultCheck, clean_text

SCHEMA = {
    "type": "object",
    "properties": {"sections": {"type": "array", "items": {"type": "integer"}}},
}


def test_a_result_that_fits_is_kept_as_it_is():
    checked = ResultCheck(SCHEMA)({"score": 3, "result": {"sections": [1]}})

    assert checked.analysis.score == 3
    assert checked.analysis.result == {"sections": [1]}


def test_a_result_that_does_not_fit_the_schema_names_the_path():
    with pytest.raises(RejectedResultError, match=r"^result\.sections\[1\]: 'x' is"):
        ResultCheck(SCHEMA)({"score": 3, "result": {"sections": [1, "x"]}})


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"score": 101}, "score"),
        ({}, "score"),
        ({"score": 1, "tags": [{"type": "family"}]}, "tags.0.value"),
        ({"score": 1, "override": "maybe"}, "override"),
    ],
)
def test_a_field_outside_the_contract_is_named(fields, path):
    with pytest.raises(RejectedResultError, match=f"^{path}: "):
        ResultCheck({})(fields)


@pytest.mark.parametrize("result", ["a\0b", {"a\0b": 1}, ["\\\\\0"]])
def test_a_nul_character_is_refused_because_no_database_keeps_it(result):
    with pytest.raises(RejectedResultError, match="NUL"):
        ResultCheck({})({"score": 1, "result": result})


def test_text_that_only_spells_a_nul_character_is_fine():
    checked = ResultCheck({})({"score": 1, "result": "\\u0000"})

    assert checked.analysis.result == "\\u0000"


def test_half_a_surrogate_pair_is_refused():
    with pytest.raises(RejectedResultError):
        ResultCheck({})({"score": 1, "result": "\ud800"})


def test_a_child_cannot_claim_files_that_the_replica_did_not_store():
    reference = {"kind": "child", "sha256": "0" * 64, "size": 1}

    checked = ResultCheck({})({"score": 1, "references": [reference]})

    assert checked.analysis.references == ()


def test_a_schema_that_is_none_fails_at_the_start():
    with pytest.raises(jsonschema.SchemaError):
        ResultCheck({"type": "nothing"})


def test_messages_lose_what_cannot_be_sent_or_stored():
    assert clean_text("a\0b\ud800c") == "a\ufffdb?c"
    assert len(clean_text("x" * 100_000)) == 65536
