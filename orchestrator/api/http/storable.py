"""
Text and JSON that can be stored, sent through the broker, and given out again.
"""

from __future__ import annotations

import math
import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, JsonValue

#: Levels of lists and objects in one value. Parsers stop at some 200, a few of which
#: the envelope and the messages take.
DEPTH_MAX = 100

_SURROGATE = re.compile("[\ud800-\udfff]")


def _storable(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain the character NUL")
    return _encodable(value)


def _encodable(value: str) -> str:
    if _SURROGATE.search(value):
        raise ValueError("must not contain half of a surrogate pair")
    return value


def _storable_json(value: object) -> object:
    # Level by level: whatever calls itself has an end of its own.
    level = [value]
    for _ in range(DEPTH_MAX + 1):
        for item in level:
            if isinstance(item, str):
                _encodable(item)
            elif isinstance(item, float) and not math.isfinite(item):
                raise ValueError("must not contain NaN, Infinity or numbers as large")
            elif isinstance(item, dict):
                for key in item:
                    _encodable(key)
        level = [below for item in level for below in _below(item)]
        if not level:
            return value
    raise ValueError(f"must not be nested more than {DEPTH_MAX} levels deep")


def _below(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


#: Text that the database can store: PostgreSQL has no NUL, UTF-8 no lone surrogates.
StorableText = Annotated[str, AfterValidator(_storable)]

#: JSON that can be stored: a NUL becomes U+FFFD there, for samples have those. Looked
#: at first: what is nested too deep is not walked.
StorableJSON = Annotated[JsonValue, BeforeValidator(_storable_json)]
