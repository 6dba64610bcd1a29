"""
Searching for parts of words, within a bound that does not grow with history.

Substrings have no index here. A search therefore looks through the newest rows of its
window, as many as a list may hold, and no further.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def matching(
    words: Words, columns: Mapping[str, ColumnElement[Any]]
) -> ColumnElement[bool]:
    """
    Return the condition that the words are in the columns.

    Raises:
        InvalidError: There is no such field.
    """
    unknown = [name for name in words.fields if name not in {*columns, _ALL}]
    if unknown:
        raise InvalidError(
            f"there is no field '{unknown[0]}'; use {', '.join((_ALL, *columns))}",
            field="keywordFieldStrategy",
        )
    named = [columns[name] for name in words.fields if name != _ALL]
    everywhere = not named or _ALL in words.fields
    searched = list(columns.values()) if everywhere else named
    found = [_is_in(word, searched) for word in words.keywords]
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


def _is_in(word: str, columns: Sequence[ColumnElement[Any]]) -> ColumnElement[bool]:
    return or_(*(cast(one, Text).icontains(word, autoescape=True) for one in columns))
