"""
What it costs to judge a form: lengths before items, and no more mistakes than are told.

It works on pydantic's core schema of whole forms, so that no field of any form can be
forgotten: a list or an object without a greatest length fails when its form is built.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import CoreSchema, PydanticCustomError, PydanticOmit, core_schema

#: Mistakes that are looked for in one request.
MISTAKES_MAX = 100

_LISTS = frozenset({"list", "tuple", "set", "frozenset"})

#: Free JSON: its nodes and its depth are counted in the document.
_FREE = frozenset({"json-or-python", "any"})


@dataclass(slots=True)
class _Mistakes:
    count: int = 0


_mistakes: ContextVar[_Mistakes | None] = ContextVar("mistakes", default=None)


def sparing(schema: CoreSchema, *, name: str) -> CoreSchema:
    """
    Return the *schema* of the form *name*, judged sparingly.

    Raises:
        TypeError: A list or object in it has no greatest length.
    """
    return cast("CoreSchema", _spared(schema, name, is_top=True))


def _spared(schema: Any, name: str, *, is_top: bool) -> Any:
    if isinstance(schema, list | tuple):
        return type(schema)(_spared(part, name, is_top=False) for part in schema)
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    if not isinstance(kind, str):
        # No schema but a form's fields, which may have any name.
        return {key: _spared(part, name, is_top=False) for key, part in schema.items()}
    if kind in _FREE or (kind == "model" and not is_top):
        # A form within a form has had its own turn.
        return schema
    # What belongs to a model stays with it; a form's top may be wrapped validators.
    is_outer = is_top and kind != "model"
    parts = {
        key: value
        if key in {"metadata", "serialization", "default"}
        else _spared(value, name, is_top=is_outer)
        for key, value in schema.items()
    }
    if kind == "model":
        parts["schema"] = _sparing_form(parts["schema"])
    if kind in _LISTS:
        return _sparing_list(parts, name)
    return _sparing_dict(parts, name) if kind == "dict" else parts


def _sparing_form(schema: Any) -> Any:
    fields = _fields_of(schema)

    def judge(value: Any, handler: core_schema.ValidatorFunctionWrapHandler) -> Any:
        if isinstance(value, dict) and len(value) > fields + MISTAKES_MAX:
            raise PydanticCustomError(
                "too_many_keys",
                "has {keys} keys, of which at most {fields} are known",
                {"keys": len(value), "fields": fields},
            )
        if _mistakes.get() is not None:
            return handler(value)
        token = _mistakes.set(_Mistakes())
        try:
            return handler(value)
        finally:
            _mistakes.reset(token)

    return core_schema.no_info_wrap_validator_function(judge, schema)


def _fields_of(schema: Any) -> int:
    while schema["type"] != "model-fields":
        schema = schema["schema"]
    return len(schema["fields"])


def _sparing_list(parts: dict[str, Any], name: str) -> Any:
    items = parts["items_schema"]
    if isinstance(items, list):
        if "variadic_item_index" not in parts:
            return parts
        parts["items_schema"] = [_sparing_item(item) for item in items]
    else:
        parts["items_schema"] = _sparing_item(items)
    return _length_first(parts, name, "items")


def _sparing_dict(parts: dict[str, Any], name: str) -> Any:
    for key in ("keys_schema", "values_schema"):
        parts[key] = _sparing_item(parts[key])
    return _length_first(parts, name, "keys")


def _length_first(parts: dict[str, Any], name: str, what: str) -> Any:
    most = parts.get("max_length")
    if most is None:
        raise TypeError(
            f"{name}: a {parts['type']} needs a greatest length: Field(max_length=…)"
        )

    def check(value: Any) -> Any:
        if isinstance(value, dict | list | tuple) and len(value) > most:
            raise PydanticCustomError(
                "too_long",
                "should have at most {most} {what}, not {length}",
                {"most": most, "what": what, "length": len(value)},
            )
        return value

    return core_schema.no_info_before_validator_function(check, parts)


def _sparing_item(schema: Any) -> Any:
    def judge(value: Any, handler: core_schema.ValidatorFunctionWrapHandler) -> Any:
        found = _mistakes.get()
        if found is None:
            return handler(value)
        if found.count >= MISTAKES_MAX:
            # The request is refused in any case: the rest is not looked at.
            raise PydanticOmit
        before = found.count
        try:
            return handler(value)
        except ValidationError as error:
            # Lists within lists: those inside have counted theirs.
            found.count = before + error.error_count()
            raise

    return core_schema.no_info_wrap_validator_function(judge, schema)
