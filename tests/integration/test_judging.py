"""
Results are judged where they keep nobody waiting, and all by the same rules.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import time

import psutil
import pytest

from workers.replica.judging import SchemaCheck
from workers.replica.results import RejectedResultError, ResultCheck


@pytest.mark.parametrize(
    ("schema", "result"),
    [
        ({"properties": {"a": {"pattern": "^a+$"}}}, {"a": "aa"}),
        ({"uniqueItems": True}, [1, 2]),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"maxItems": 3}}}, [3]),
        ({"items": {"type": "integer"}}, [1] * 60_000),
        ({"items": {"type": "string"}}, ["x" * 40_000] * 2),
    ],
)
def test_what_may_take_long_is_judged_elsewhere_and_alike(schema, result):
    check = ResultCheck(schema)
    try:
        assert check({"score": 1, "result": result}).analysis.result == result
        assert len(_judges()) == 1
        with pytest.raises(RejectedResultError, match=r"^result"):
            check({"score": 1, "result": _wrong(result)})
    finally:
        check.close()
    assert _judges() == []


def _judges():
    return [child for child in psutil.Process().children() if _judges_results(child)]


def _judges_results(child):
    # A process that another test left unreaped has no command line any more.
    with contextlib.suppress(psutil.Error):
        return "workers.replica.judge" in child.cmdline()
    return False


def _wrong(result):
    return {"a": "b"} if isinstance(result, dict) else [*result, result[0], 0.5, "b", 7]


@pytest.mark.parametrize("name", ["document", "executable", "strings", "yara"])
def test_what_bundled_workers_find_is_judged_here(name):
    module = importlib.import_module(f"workers.analyzers.{name}.analyzer")
    check = SchemaCheck(module._SCHEMA)
    body = json.dumps(["x"] * 1000).encode()

    assert check.complaint(["x"] * 1000, body)
    assert _judges() == []


def test_no_result_outlives_its_time_whatever_schema_it_meets():
    check = SchemaCheck({"pattern": "^(x+x+)+y$"}, seconds=1)
    began = time.monotonic()
    try:
        assert "within 1 s" in check.complaint("x" * 60, b"")
        assert check.complaint("xxy", b"") == ""
    finally:
        check.close()
    assert time.monotonic() - began < 20
