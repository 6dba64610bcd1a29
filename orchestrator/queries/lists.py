"""
Reading lists: one page, in a given order, with the count of all that match.

What the lists hold is in ``jobs.py``, ``samples.py`` and so on. Nothing here
or there writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, FromClause, Row, Select, func, literal, select

from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import InvalidError

T = TypeVar("T")

#: The most that one list may hold.
LIST_MAX = 100_000

#: How far matches are counted: some 2 ms. More would cost with history.
COUNT_MAX = 10_000
UNCOUNTED = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One key of an order, by the name that the API gives it."""

    name: str
    descending: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Paging:
    """Which part of a list; ``limit`` 0 asks for all of it, up to :data:`LIST_MAX`."""

    limit: int = 25
    offset: int = 0
    order: tuple[Order, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[T]):
    """Part of a list; ``total`` is -1 where more match than are counted."""

    items: tuple[T, ...]
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Period:
    """A span of time, both ends inclusive; ``None`` is unbounded."""

    start: datetime | None = None
    end: datetime | None = None

    @property
    def is_bounded(self) -> bool:
        """Whether it leaves anything out."""
        return self.start is not None or self.end is not None

    def has(self, column: ColumnElement[Any]) -> list[ColumnElement[bool]]:
        """Return the conditions that a time is in it."""
        bounds: list[ColumnElement[bool]] = []
        if self.start is not None:
            bounds.append(column >= self.start)
        if self.end is not None:
            bounds.append(column <= self.end)
        return bounds


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """
    How the rows of a table are listed.

    ``sorts``: by what, API name to column. ``default``: the order when none is asked
    for. The column ``key`` decides ties, so that pages never overlap.
    """

    table: FromClause
    sorts: Mapping[str, ColumnElement[Any]]
    default: Order
    key: str = "id"


def fetch_page(
    tx: Transaction,
    listing: Listing,
    statement: Select[Any],
    *conditions: ColumnElement[bool],
    paging: Paging,
) -> tuple[Sequence[Row[Any]], int]:
    """
    Read one page of the rows that meet *conditions*, and count all of them.

    Args:
        statement: What is read of each row of the listed table.
        conditions: On columns of the listed table alone: only that one is counted.

    Raises:
        InvalidError: The order names an unknown field, or everything was asked for and
            more match than one list may hold.
    """
    order = order_by(paging.order, listing)
    matches = select(literal(1)).select_from(listing.table).where(*conditions)
    # In order, so that an index is read: a scan that ends early ends late for a
    # customer whose rows are all at the end of the table.
    if getattr(listing.sorts[listing.default.name], "table", None) is listing.table:
        matches = matches.order_by(*order_by((), listing))
    total = count(tx, matches, paging)
    page = statement.where(*conditions).order_by(*order)
    part = page.limit(paging.limit or LIST_MAX).offset(paging.offset)
    return tx.connection.execute(part).all(), total


def count_bound(paging: Paging) -> int:
    """Return how far matches are counted: all the way where all are asked for."""
    return COUNT_MAX if paging.limit else LIST_MAX


def count(tx: Transaction, matches: Select[Any], paging: Paging) -> int:
    """
    Count what matches, as far as it is counted.

    Raises:
        InvalidError: As :func:`check_whole`.
    """
    bound = count_bound(paging)
    counted = select(func.count()).select_from(matches.limit(bound + 1).subquery())
    total = int(tx.connection.execute(counted).scalar_one())
    return check_whole(paging, total if total <= bound else UNCOUNTED)


def check_whole(paging: Paging, total: int) -> int:
    """
    Return *total*.

    Raises:
        InvalidError: Everything was asked for, and it is more than one list may hold.
    """
    if not paging.limit and total == UNCOUNTED:
        raise InvalidError(
            f"more than {LIST_MAX} match; ask with a limit, or narrow the search",
            field="limit",
        )
    return total


def order_by(order: Sequence[Order], listing: Listing) -> list[ColumnElement[Any]]:
    """
    Return the order of a list; the default one if none is asked for.

    Raises:
        InvalidError: It names an unknown field.
    """
    keys = tuple(order) or (listing.default,)
    clauses = [_clause(_column(key, listing), key) for key in keys]
    return [*clauses, _clause(listing.table.c[listing.key], keys[-1])]


def _column(key: Order, listing: Listing) -> ColumnElement[Any]:
    column = listing.sorts.get(key.name)
    if column is None:
        known = ", ".join(listing.sorts)
        raise InvalidError(
            f"can not sort by '{key.name}'; sort by one of {known}", field="sortBy"
        )
    return column


def _clause(column: ColumnElement[Any], key: Order) -> ColumnElement[Any]:
    clause = column.desc() if key.descending else column.asc()
    # What is not known comes last in both directions. A column that always has a value
    # goes without: NULLS LAST would keep a descending sort off the index.
    return clause.nulls_last() if getattr(column, "nullable", True) else clause
