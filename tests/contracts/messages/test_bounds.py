"""
What travels fits into the columns and the memory that it goes to.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.contracts.alive import ASIDE_MAX, Alive
from orchestrator.contracts.wire import Wire
from orchestrator.flow.intake import _Envelope
from tests.contracts.messages.test_messages import GOLDEN, MODELS

#: Free text about an attempt, and a result: U+0000 in them is replaced when stored. Why
#: a replica stands aside: when it is read.
_REPLACED = ("message", "analysis.result", "aside")

ALL: dict[str, type[Wire]] = {**MODELS, "envelope": _Envelope}
SCHEMAS = {name: model.model_json_schema() for name, model in ALL.items()}


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_number_and_text_and_list_is_bounded(name: str):
    unbounded = [
        where for where, part in _parts(SCHEMAS[name], name) if not _is_bounded(part)
    ]

    assert unbounded == []


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda p: p.stem)
def test_no_text_holds_a_nul(path):
    model = MODELS[path.stem.split("-")[0]]
    message = json.loads(path.read_text())
    texts = [keys for keys, value in _leaves(message) if isinstance(value, str)]

    accepted = []
    for keys in texts:
        where = ".".join(map(str, keys))
        if not where.startswith(_REPLACED) and _parses(model, _with_nul(message, keys)):
            accepted.append(where)

    assert texts
    assert accepted == []


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("full\0", "full\ufffd"),
        ("x" * 5_000, "x" * ASIDE_MAX),
        ("", None),
        (7, None),
        ({"why": "full"}, None),
    ],
)
def test_what_a_heartbeat_says_for_people_never_costs_it_the_heartbeat(
    said: object, read: str | None
):
    message = json.loads((GOLDEN / "alive-v1.json").read_text())

    alive = Alive.model_validate_json(json.dumps({**message, "aside": said}))

    assert alive.aside == read


@pytest.mark.parametrize(
    ("said", "read"), [(-3, -3.0), (1e300, 1e9), ("late", None), ([], None)]
)
def test_nor_does_what_it_measures_for_them(said: object, read: float | None):
    message = json.loads((GOLDEN / "alive-v1.json").read_text())

    alive = Alive.model_validate_json(json.dumps({**message, "skew_seconds": said}))

    assert alive.skew_seconds == read


def _parts(schema: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        if "type" in schema and not isinstance(schema["type"], dict):
            yield where, schema
        for key, part in schema.items():
            yield from _parts(part, f"{where}.{key}")
    elif isinstance(schema, list):
        for number, part in enumerate(schema):
            yield from _parts(part, f"{where}.{number}")


def _is_bounded(part: dict[str, Any]) -> bool:
    match part["type"]:
        case "integer" | "number":
            lower = {"minimum", "exclusiveMinimum"} & part.keys()
            return "const" in part or bool(lower and "maximum" in part)
        case "string":
            limits = {"maxLength", "pattern", "enum", "const", "format"}
            return bool(limits & part.keys())
        case "array":
            return "maxItems" in part
        case _:
            return True


def _leaves(value: Any, *keys: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, *keys, key)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _leaves(item, *keys, number)
    else:
        yield keys, value


def _with_nul(message: Any, keys: tuple[Any, ...]) -> str:
    changed = copy.deepcopy(message)
    holder = changed
    for key in keys[:-1]:
        holder = holder[key]
    holder[keys[-1]] += "\0"
    return json.dumps(changed)


def _parses(model: Any, body: str) -> bool:
    try:
        model.model_validate_json(body)
    except ValidationError:
        return False
    return True
