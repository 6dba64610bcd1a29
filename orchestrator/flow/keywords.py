"""
Searching for parts of words, within a bound that does not grow with history.

Substrings have no index here. A search therefore looks through the newest rows of its
window, as many as a list may hold, and no further.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, cast, or_, select

from orchestrator.domain.errors import InvalidError
from orchestrator.flow.read import LIST_MAX, Listing

_ALL = "all"


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """
    What is looked for: parts of words, in any case.

    ``fields``: where, by the names of the API; none, or ``all``, is everywhere.
    ``match_all``: whether every word must be there, or one.
    """

    keywords: Sequence[str] = ()
    fields: Sequence[str] = ()
    match_all: bool = False


#: Whether a word is in a field.
Field = Callable[[str], ColumnElement[bool]]


def in_columns(*columns: ColumnElement[Any]) -> Field:
    """Return the field that is these columns, as text."""

    def holds(word: str) -> ColumnElement[bool]:
        texts = (cast(one, Text) for one in columns)
        return or_(*(one.icontains(word, autoescape=True) for one in texts))

    return holds


def matching(words: Words, fields: Mapping[str, Field]) -> ColumnElement[bool]:
    """
    Return the condition that the words are in the fields.

    Raises:
        InvalidError: There is no such field.
    """
    unknown = [name for name in words.fields if name not in {*fields, _ALL}]
    if unknown:
        raise InvalidError(
            f"there is no field '{unknown[0]}'; use {', '.join((_ALL, *fields))}",
            field="keywordFieldStrategy",
        )
    named = [fields[name] for name in words.fields if name != _ALL]
    everywhere = not named or _ALL in words.fields
    searched = list(fields.values()) if everywhere else named
    found = [or_(*(holds(word) for holds in searched)) for word in words.keywords]
    return and_(*found) if words.match_all else or_(*found)


def newest(
    listing: Listing, conditions: Sequence[ColumnElement[bool]]
) -> ColumnElement[bool]:
    """Return the condition for the newest rows, as many as are looked through."""
    key = listing.table.c[listing.key]
    by_age = listing.sorts[listing.default.name].desc()
    looked_through = (
        select(key).where(*conditions).order_by(by_age, key.desc()).limit(LIST_MAX)
    )
    return key.in_(looked_through)
