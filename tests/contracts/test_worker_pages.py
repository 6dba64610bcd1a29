"""
The pages of ``docs/workers`` against the bundled workers: each has one, and it says
what the worker finds and what that is worth.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

from orchestrator.contracts.names import BUNDLED_WORKERS
from workers.findings import Kind

FOLDER = Path(__file__).parents[2] / "docs/workers"


def page_of(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text()


def module_of(name: str) -> ModuleType:
    return importlib.import_module(f"workers.analyzers.{name}.analyzer")


def test_each_bundled_worker_has_a_page_and_no_other():
    # And one for authors of others.
    pages = {path.stem for path in FOLDER.glob("*.md")} - {"writing"}
    assert pages == set(BUNDLED_WORKERS)


@pytest.mark.parametrize("name", BUNDLED_WORKERS)
def test_a_page_says_what_is_taken_and_for_how_long(name: str):
    page, analyzer = page_of(name), getattr(module_of(name), name)

    for kind in analyzer.accepts:
        assert "Takes: everything." in page if kind == "*" else f"`{kind}`" in page
    assert f"Run time: {analyzer.run_seconds} s." in page


@pytest.mark.parametrize("name", BUNDLED_WORKERS)
def test_a_page_has_every_finding_with_its_points(name: str):
    kinds: Mapping[str, Kind] = module_of(name).KINDS
    listed = {
        line.split("|")[1].strip(" `"): int(line.split("|")[2])
        for line in page_of(name).splitlines()
        if line.startswith("| `")
    }

    assert listed == {kind: facts.points for kind, facts in kinds.items()}
