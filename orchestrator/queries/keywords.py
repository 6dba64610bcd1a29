"""
Searching for parts of words, fast however much there is.

A word that few rows hold is found in an index of all of them. One that many hold is
looked for in the newest rows, where it soon turns up; nobody looks further back than a
list may be long. What is listed, and in which order, is the business of who searches.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    false,
    literal,
    or_,
    select,
    text,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB

from orchestrator.db.bulk import one_of
from orchestrator.db.tables import DOCUMENTS
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import InvalidError
from orchestrator.queries.lists import LIST_MAX

_ALL = "all"

#: Rows with a word, above which it is looked for in the newest ones instead. Fetching
#: so many takes some 20 ms; a word in more of a million is soon met.
RARE_MAX = 10_000

#: Characters that the index takes together: a shorter word is in most rows.
_GRAM = 3

#: Characters of an id.
_ID_LENGTH = 36

#: Hashes, and how many digits they have.
DIGITS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}

#: How many of the newest rows are looked through, one after the other.
_REACHES = (1_000, 10_000, LIST_MAX)

#: Rows looked through by one statement: a busy machine, too, does it well within the
#: five seconds that a statement has.
_BATCH = 5_000

_HEX = frozenset("0123456789abcdef")


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


class Place(Protocol):
    """Where a word may be. Rows are named by the key of what is listed."""

    def everywhere(self, word: str) -> ColumnElement[bool]:
        """Return whether most rows hold the word, so that no index tells them."""

    def rare(self, word: str) -> Sequence[Select[Any]]:
        """Return what finds the rows with the word, however old they are."""

    def among(self, word: str, keys: Sequence[Any]) -> Select[Any]:
        """Return what finds those of these rows that hold the word."""


def _in_json(word: str) -> str:
    """Return the word as the database writes it within JSON."""
    return json.dumps(word, ensure_ascii=False)[1:-1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Texts:
    """
    Columns of a table, as text; the table's index for searches covers them.

    ``key``: its column that names what is listed. ``visible``: of which rows the viewer
    may know. ``indexed``: which rows the index has, where it has not all; ``known``:
    whether a word may be in the others.
    """

    table: Table
    key: ColumnElement[Any]
    columns: Sequence[ColumnElement[Any]]
    visible: ColumnElement[bool]
    indexed: str | None = None
    known: Callable[[str], ColumnElement[bool]] | None = None

    def everywhere(self, word: str) -> ColumnElement[bool]:
        """As :class:`Place`."""
        return false() if self.known is None else self.known(word)

    def rare(self, word: str) -> Sequence[Select[Any]]:
        """As :class:`Place`."""
        has_all = f"grams({DOCUMENTS[self.table.name]}) @> grams(:word)"
        grams = [
            text(has_all).bindparams(bindparam("word", form, unique=True))
            for form in sorted({word, _in_json(word)})
        ]
        found = self._holding(word).where(or_(*grams))
        if self.indexed is not None:
            # In parentheses: text brings none of its own, and this one has an OR.
            found = found.where(text(f"({self.indexed})"))
        return [found]

    def among(self, word: str, keys: Sequence[Any]) -> Select[Any]:
        """As :class:`Place`."""
        return self._holding(word).where(one_of(self.key, keys))

    def _holding(self, word: str) -> Select[Any]:
        holds = (
            cast(column, Text).icontains(
                _in_json(word) if isinstance(column.type, JSONB) else word,
                autoescape=True,
            )
            for column in self.columns
        )
        return select(self.key).where(self.visible, or_(*holds))


@dataclass(frozen=True, kw_only=True, slots=True)
class Digits:
    """
    A column of hex digits: a hash, or an id. Whole or its beginning it is found in an
    index; another part of it in the newest rows.

    ``start``: what the index has of the column, ``length`` digits. ``newest``: keys and
    columns of the newest rows.
    """

    key: ColumnElement[Any]
    column: ColumnElement[Any]
    start: ColumnElement[Any]
    length: int
    newest: Select[Any]
    visible: ColumnElement[bool]

    def everywhere(self, word: str) -> ColumnElement[bool]:  # noqa: ARG002  (as Place)
        """As :class:`Place`."""
        return false()

    def rare(self, word: str) -> Sequence[Select[Any]]:
        """As :class:`Place`."""
        digits = word.lower()
        if not _HEX.issuperset(digits):
            return []
        # Bounds as long as what is compared: then no collation disagrees.
        low, high = (digits.ljust(self.length, fill)[: self.length] for fill in "0f")
        begins = select(self.key).where(
            self.visible, self.start.between(low, high), self.column.startswith(digits)
        )
        if len(digits) in DIGITS.values():
            return [begins]
        newest = self.newest.subquery("newest")
        holds = newest.c[self.column.name].contains(digits, autoescape=True)
        return [begins, select(newest.c[self.key.name]).where(holds)]

    def among(self, word: str, keys: Sequence[Any]) -> Select[Any]:
        """As :class:`Place`."""
        holds = self.column.contains(word.lower(), autoescape=True)
        return select(self.key).where(self.visible, one_of(self.key, keys), holds)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ids:
    """A column of ids: whole, or a part of one of the newest rows."""

    key: ColumnElement[Any]
    newest: Select[Any]
    visible: ColumnElement[bool]

    def everywhere(self, word: str) -> ColumnElement[bool]:  # noqa: ARG002  (as Place)
        """As :class:`Place`."""
        return false()

    def rare(self, word: str) -> Sequence[Select[Any]]:
        """As :class:`Place`."""
        if len(word) > _ID_LENGTH or not (_HEX | {"-"}).issuperset(word.lower()):
            return []
        with suppress(ValueError):
            return [select(self.key).where(self.visible, self.key == UUID(word))]
        newest = self.newest.subquery("newest")
        key = newest.c[self.key.name]
        return [select(key).where(cast(key, Text).contains(word.lower()))]

    def among(self, word: str, keys: Sequence[Any]) -> Select[Any]:
        """As :class:`Place`."""
        holds = cast(self.key, Text).contains(word.lower(), autoescape=True)
        return select(self.key).where(self.visible, one_of(self.key, keys), holds)


@dataclass(frozen=True, kw_only=True, slots=True)
class Labels:
    """A column with one of a few values: each stands in most rows."""

    key: ColumnElement[Any]
    column: ColumnElement[Any]
    values: Sequence[str]

    def everywhere(self, word: str) -> ColumnElement[bool]:
        """As :class:`Place`."""
        return literal(bool(self._holding(word)))

    def rare(self, word: str) -> Sequence[Select[Any]]:  # noqa: ARG002  (as Place)
        """As :class:`Place`."""
        return []

    def among(self, word: str, keys: Sequence[Any]) -> Select[Any]:
        """As :class:`Place`."""
        holds = self.column.in_(self._holding(word))
        return select(self.key).where(one_of(self.key, keys), holds)

    def _holding(self, word: str) -> list[str]:
        return [value for value in self.values if word.lower() in value]


def find(
    tx: Transaction, words: Words, places: Mapping[str, Sequence[Place]]
) -> set[Any] | None:
    """
    Return the keys of all rows with the words; ``None``: too many have them.

    Raises:
        InvalidError: There is no such field.
    """
    searched = _searched(words, places)
    found = {word: _find_rare(tx, word, searched) for word in words.keywords}
    rare = [keys for keys in found.values() if keys is not None]
    if not words.match_all:
        return set().union(*rare) if len(rare) == len(found) else None
    if not rare:
        return None
    left = set.intersection(*rare)
    for word, keys in found.items():
        if keys is None:
            left &= _hold(tx, word, searched, list(left))
    return left


@dataclass(frozen=True, kw_only=True, slots=True)
class Newest:
    """Keys of the newest rows with the words; ``is_whole``: there are no more."""

    keys: list[Any]
    is_whole: bool


def find_newest(
    tx: Transaction,
    words: Words,
    places: Mapping[str, Sequence[Place]],
    newest: Callable[[int], Select[Any]],
    *,
    wanted: int,
) -> Newest:
    """
    Look for words that many rows have, further back only if it must be.

    Args:
        newest: Gives what reads the keys of so many rows, the newest first.
        wanted: How many are enough.
    """
    searched = _searched(words, places)
    found: list[Any] = []
    seen = 0
    for reach in _REACHES:
        keys = tx.connection.execute(newest(reach)).scalars().all()
        holding = _look_through(tx, words, searched, keys[seen:])
        found += [key for key in keys[seen:] if key in holding]
        seen = len(keys)
        if seen < reach:
            return Newest(keys=found, is_whole=True)
        if len(found) > wanted:
            break
    return Newest(keys=found, is_whole=False)


def _searched(words: Words, places: Mapping[str, Sequence[Place]]) -> Sequence[Place]:
    unknown = [name for name in words.fields if name not in {*places, _ALL}]
    if unknown:
        raise InvalidError(
            f"there is no field '{unknown[0]}'; use {', '.join((_ALL, *places))}",
            field="keywordFieldStrategy",
        )
    everywhere = not words.fields or _ALL in words.fields
    names = places if everywhere else dict.fromkeys(words.fields)
    return [place for name in names for place in places[name]]


def _look_through(
    tx: Transaction, words: Words, searched: Sequence[Place], keys: Sequence[Any]
) -> set[Any]:
    found = [_hold(tx, word, searched, keys) for word in words.keywords]
    return set.intersection(*found) if words.match_all else set().union(*found)


def _find_rare(
    tx: Transaction, word: str, searched: Sequence[Place]
) -> set[Any] | None:
    if len(word) < _GRAM:
        return None
    known = [place.everywhere(word) for place in searched]
    if tx.connection.execute(select(or_(false(), *known))).scalar_one():
        return None
    parts = [part for place in searched for part in place.rare(word)]
    # A planner that knows a word to be frequent reads the table itself, from its start:
    # all of it, if the word is new.
    tx.connection.execute(text("SET LOCAL enable_seqscan = off"))
    keys = _keys(tx, [part.limit(RARE_MAX + 1) for part in parts])
    tx.connection.execute(text("SET LOCAL enable_seqscan = on"))
    return None if len(keys) > RARE_MAX else keys


def _hold(
    tx: Transaction, word: str, searched: Sequence[Place], keys: Sequence[Any]
) -> set[Any]:
    held: set[Any] = set()
    for first in range(0, len(keys), _BATCH):
        some = keys[first : first + _BATCH]
        held |= _keys(tx, [place.among(word, some) for place in searched])
    return held


def _keys(tx: Transaction, parts: Iterable[Select[Any]]) -> set[Any]:
    selects = [select(part.subquery()) for part in parts]
    if not selects:
        return set()
    return set(tx.connection.execute(union_all(*selects)).scalars())
