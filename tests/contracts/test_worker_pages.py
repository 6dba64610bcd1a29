"""
The pages of ``docs/workers`` against the bundled workers: each has one, and it says what
the worker finds and what that is worth.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.contracts.names import BUNDLED_WORKERS
from workers import Analyzer
from workers.analyzers.findings import Kind

FOLDER = Path(__file__).parents[2] / "docs/workers"

#: Where each worker has its table of findings, for who is not told by its analyzer.
KINDS = {
    "document": ("workers.analyzers.document.facts", "KINDS"),
    "executable": ("workers.analyzers.executable.rules", "KINDS"),
    "strings": ("workers.analyzers.strings.analyzer", "_KINDS"),
    "yara": ("workers.analyzers.yara.analyzer", "_KINDS"),
}


def page_of(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text()


def analyzer_of(name: str) -> Analyzer:
    module = importlib.import_module(f"workers.analyzers.{name}.analyzer")
    found: Analyzer = getattr(module, name)
    return found


def test_each_bundled_worker_has_a_page_and_no_other():
    assert {path.stem for path in FOLDER.glob("*.md")} == set(BUNDLED_WORKERS)


@pytest.mark.parametrize("name", BUNDLED_WORKERS)
def test_a_page_says_what_is_taken_and_for_how_long(name: str):
    page, analyzer = page_of(name), analyzer_of(name)

    for kind in analyzer.accepts:
        assert "Takes: everything." in page if kind == "*" else f"`{kind}`" in page
    assert f"Run time: {analyzer.run_seconds} s." in page


@pytest.mark.parametrize("name", BUNDLED_WORKERS)
def test_a_page_has_every_finding_with_its_points(name: str):
    module, attribute = KINDS[name]
    kinds: Mapping[str, Kind] = getattr(importlib.import_module(module), attribute)
    listed = {
        line.split("|")[1].strip(" `"): int(line.split("|")[2])
        for line in page_of(name).splitlines()
        if line.startswith("| `")
    }

    assert listed == {kind: facts.points for kind, facts in kinds.items()}
