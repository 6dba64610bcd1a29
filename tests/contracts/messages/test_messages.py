from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.contracts.alive import Alive, Canary
from orchestrator.contracts.assignment import Assignment
from orchestrator.contracts.report import Report
from orchestrator.contracts.wire import Wire
from tests.contracts.messages.generate import DOCS, generated

GOLDEN = Path(__file__).parent / "golden"
MODELS: dict[str, type[Wire]] = {
    "assignment": Assignment,
    "report": Report,
    "alive": Alive,
    "canary": Canary,
}


@pytest.mark.parametrize("path", sorted(generated()), ids=lambda path: path.name)
def test_what_is_generated_is_fresh(path: Path):
    assert path.read_text() == generated()[path], f"{path.name} is stale: make docs"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda p: p.stem)
def test_yesterdays_message_parses_today(path: Path):
    model = MODELS[path.stem.split("-")[0]]
    message = json.loads(path.read_text())

    read = model.model_validate_json(json.dumps({**message, "of_tomorrow": 1}))

    assert json.loads(read.model_dump_json(exclude_unset=True)) == message


def test_every_message_has_a_golden_one():
    assert {path.stem.split("-")[0] for path in GOLDEN.glob("*.json")} == set(MODELS)


def test_the_schemas_are_in_the_documentation():
    linked = (DOCS / "messages.md").read_text()

    assert all(path.name in linked for path in generated() if path.suffix == ".json")
