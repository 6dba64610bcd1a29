from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

import orchestrator.api.app  # noqa: F401  (all forms are made)
from orchestrator.api.http.envelope import Form
from orchestrator.api.http.sparing import MISTAKES_MAX
from orchestrator.contracts.json_size import DocumentError, check_document


def _forms(base: type[Form] = Form) -> Iterator[type[Form]]:
    for form in base.__subclasses__():
        # Not those of tests.
        if form.__module__.startswith("orchestrator."):
            yield form
        yield from _forms(form)


def _arrays(schema: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, list):
        for part in schema:
            yield from _arrays(part, path)
    if isinstance(schema, dict):
        if schema.get("type") == "array":
            yield path, schema
        for name, part in schema.items():
            yield from _arrays(part, f"{path}.{name}")


def test_every_list_of_every_form_has_a_greatest_length():
    forms = list(_forms())
    arrays = [
        found
        for form in forms
        for found in _arrays(form.model_json_schema(), form.__name__)
    ]

    assert len(forms) > 20
    assert len(arrays) > 20
    assert [path for path, array in arrays if "maxItems" not in array] == []


def test_a_form_with_a_list_of_any_length_cannot_be_made():
    with pytest.raises(TypeError, match="needs a greatest length"):

        class _Endless(Form):
            names: tuple[str, ...]

    with pytest.raises(TypeError, match="needs a greatest length"):

        class _EndlessDict(Form):
            inner: Annotated[dict[str, int], Field()] | None = None


class _Item(Form):
    #: Called as a part of schemas is.
    type: int
    metadata: int = 0


class _Many(Form):
    items: Annotated[tuple[_Item, ...], Field(max_length=5000)] = ()
    numbers: Annotated[list[int], Field(max_length=5000)] = Field(default_factory=list)
    named: Annotated[dict[str, int], Field(max_length=5000)] = Field(
        default_factory=dict
    )
    lists: Annotated[
        tuple[Annotated[tuple[int, ...], Field(max_length=60)], ...],
        Field(max_length=60),
    ] = ()


def _mistakes(body: dict[str, Any]) -> list[Any]:
    with pytest.raises(ValidationError) as caught:
        _Many.model_validate(body)
    return caught.value.errors()


@pytest.mark.parametrize(
    "body",
    [
        {"numbers": ["x"] * 5000},
        {"items": [{}] * 5000},
        {"items": [{f"k{n}": 1 for n in range(60)}] * 5000},
        {"named": {f"k{n}": "x" for n in range(5000)}},
        {"lists": [["x"] * 60] * 60},
        {"numbers": ["x"] * 5000, "items": [{}] * 5000},
    ],
)
def test_no_more_mistakes_are_looked_for_than_are_told(body):
    found = len(_mistakes(body))

    # The last thing that was looked at may have several.
    assert MISTAKES_MAX <= found <= MISTAKES_MAX + 62


@pytest.mark.parametrize(
    "body",
    [
        {"numbers": ["x"] * 5001},
        {"named": {f"k{n}": "x" for n in range(5001)}},
        {f"k{n}": 1 for n in range(200)},
    ],
)
def test_a_length_is_looked_at_before_what_has_it(body):
    assert [mistake["type"] for mistake in _mistakes(body)] in (
        ["too_long"],
        ["too_many_keys"],
    )


def test_what_is_right_is_whole_and_the_next_form_begins_anew():
    _mistakes({"numbers": ["x"] * 5000})
    given = {
        "items": [{"type": 1}, {"type": 2, "metadata": 3}],
        "numbers": list(range(5000)),
        "lists": [[1], []],
    }

    assert _Many.model_validate(given).model_dump(by_alias=True, exclude={"named"}) == {
        "items": ({"type": 1, "metadata": 0}, {"type": 2, "metadata": 3}),
        "numbers": list(range(5000)),
        "lists": ((1,), ()),
    }
    assert len(_mistakes({"numbers": ["x"] * 99})) == 99


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b"1", 1),
        (b'"a,[{:"', 1),
        (rb'"a\\",', 2),
        (rb'"a\",[[["', 1),
        (b"[]", 2),
        (b"[1,2]", 3),
        (b'{"a":1,"b":[2]}', 6),
        (b'"no end,,,,', 1),
        (b'"a' * 10, 5),
    ],
)
def test_values_and_keys_are_counted_outside_of_text(body: bytes, count: int):
    check_document(body, nodes_max=count)
    with pytest.raises(DocumentError, match="values and keys"):
        check_document(body, nodes_max=count - 1)


def test_levels_are_counted_outside_of_text():
    check_document(b'["' + b"[" * 500 + b'"]', nodes_max=1000)
    check_document(b"[]," * 300, nodes_max=1000)
    with pytest.raises(DocumentError, match="nested"):
        check_document(b"[" * 129 + b"]" * 129, nodes_max=1000)
