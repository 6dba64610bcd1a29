"""
What operators import: the rules, the dashboard and the list of metrics fit a scrape.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fixtures.api import API

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations"
DASHBOARD = json.loads((OPERATIONS / "dashboard.json").read_text())

_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",)}
_NAME = re.compile(r"\bassay_[a-z_]+\b")


@pytest.fixture
def told(api: API) -> dict[str, set[str]]:
    """The metrics of a real scrape: family → the names of its series."""
    page = api.bare.get("/metrics").text
    return {
        family.name + ("_total" if family.type == "counter" else ""): {
            family.name + suffix for suffix in _SUFFIXES.get(family.type, ("",))
        }
        for family in text_string_to_metric_families(page)
    }


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is not None:
        return found
    reason = "promtool is not on PATH; it is in Debian's package prometheus"
    if os.environ.get("ASSAY_TEST_REQUIRE_PROMTOOL") == "1":
        pytest.fail(f"{reason} (ASSAY_TEST_REQUIRE_PROMTOOL=1)")
    pytest.skip(reason)


@pytest.mark.parametrize(
    "words",
    [
        ("check", "rules", "--lint=all", "--lint-fatal", "alerts.yml"),
        ("test", "rules", "alerts.test.yml"),
    ],
    ids=" ".join,
)
def test_the_rules_are_sound_and_do_what_they_say(
    promtool: str, words: tuple[str, ...]
):
    done = subprocess.run(
        [promtool, *words], cwd=OPERATIONS, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_every_rule_is_tested():
    rules = set(re.findall(r"- alert: (\w+)", (OPERATIONS / "alerts.yml").read_text()))
    tests = (OPERATIONS / "alerts.test.yml").read_text()

    assert rules
    assert {name for name in rules if name not in tests} == set()


def test_every_rule_asks_for_metrics_that_there_are(told: dict[str, set[str]]):
    asked = set(_NAME.findall((OPERATIONS / "alerts.yml").read_text()))

    assert asked
    assert asked - set().union(*told.values()) == set()


def test_every_panel_asks_for_metrics_that_there_are(told: dict[str, set[str]]):
    names = set().union(*told.values())
    expressions = list(_expressions())

    assert len(expressions) > 20
    for expression in expressions:
        asked = set(_NAME.findall(expression))
        assert asked, expression
        assert asked <= names, expression


def test_the_dashboard_shows_every_metric(told: dict[str, set[str]]):
    shown = set(_NAME.findall(" ".join(_expressions())))

    assert {family for family, names in told.items() if not names & shown} == set()


def test_the_panels_of_the_dashboard_have_names_and_places_of_their_own():
    panels = DASHBOARD["panels"]
    cells = [cell for panel in panels for cell in _cells(panel["gridPos"])]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(set(cells)) == len(cells)
    assert all(0 <= x < 24 for x, _ in cells)


def test_every_metric_is_described(told: dict[str, set[str]]):
    described = re.findall(
        r"^\| `(assay_\w+)` \|", (OPERATIONS / "metrics.md").read_text(), re.MULTILINE
    )

    assert sorted(described) == sorted(told)


def _expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["definition"]


def _cells(place: dict[str, Any]) -> Iterator[tuple[int, int]]:
    for x in range(place["x"], place["x"] + place["w"]):
        for y in range(place["y"], place["y"] + place["h"]):
            yield x, y
