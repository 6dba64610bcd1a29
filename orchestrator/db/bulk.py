"""
Many rows, or values, in one statement: several times faster than one by one.

The rows travel as one JSON document, which the database unfolds by the table's own
types. Not for columns of bytes, which JSON has none of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Table, TextClause, any_, literal, text
from sqlalchemy.dialects.postgresql import ARRAY

from orchestrator.db.unit_of_work import Transaction, json_text


def insert_rows(
    tx: Transaction,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    skip_present: bool = False,
) -> None:
    """
    Insert rows that all have the same columns; none of them are fine.

    Args:
        skip_present: Leave out those that are there already, instead of failing.
    """
    if rows:
        statement = _insert(table.name, tuple(rows[0]), skip_present)
        tx.connection.execute(statement, {"rows": json_text(rows), "now": tx.now})


def update_rows(
    tx: Transaction, table: Table, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Write the columns of these rows, found by their ``id``; none of them are fine."""
    if rows:
        statement = _update(table.name, tuple(rows[0]))
        tx.connection.execute(statement, {"rows": json_text(rows)})


def one_of(column: ColumnElement[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """
    Return the condition that a column has one of *values*, however many.

    They are one array: each of an ``IN`` is a parameter, of which a statement has at
    most 65,535.
    """
    return column == any_(literal(list(values), ARRAY(column.type)))


def insertion(table: str, columns: Iterable[str], *, rows: str = "rows") -> str:
    """
    Return the statement that inserts rows of these columns.

    Its parameters: ``now``, and under the name of *rows* what :func:`json_text` makes
    of them.
    """
    names = ", ".join(columns)
    return (
        f"INSERT INTO {table} ({names}, created_at)"
        f" SELECT {names}, CAST(:now AS timestamptz) FROM {_unfolded(table, rows)}"
    )


def _unfolded(table: str, rows: str = "rows") -> str:
    return f"json_populate_recordset(CAST(NULL AS {table}), CAST(:{rows} AS json))"


@cache
def _insert(table: str, columns: tuple[str, ...], skip_present: bool) -> TextClause:  # noqa: FBT001
    conflict = " ON CONFLICT DO NOTHING" if skip_present else ""
    return text(insertion(table, columns) + conflict)


@cache
def _update(table: str, columns: tuple[str, ...]) -> TextClause:
    assigned = ", ".join(f"{name} = r.{name}" for name in columns if name != "id")
    return text(
        f"UPDATE {table} t SET {assigned} FROM {_unfolded(table)} r WHERE t.id = r.id"
    )
