"""
How the commands speak: tables for people, one JSON document for programs.

What comes from samples and from the API is text, never markup, and reaches no terminal
with a control character in it. Knows no command.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

#: Colours of states and statuses, the same everywhere.
_COLOURS = {
    "success": "green",
    "done": "green",
    "benign": "green",
    "nothing found": "green",
    "executing": "cyan",
    "failed": "red",
    "malicious": "bold red",
    "suspicious": "yellow",
    "timeout": "yellow",
    "cancelled": "magenta",
}

#: Words of the API that people read in others.
_SPOKEN = {"no_findings": "nothing found"}

#: Wide enough that a row of a table that is piped stays one line.
_PIPED_COLUMNS = 100_000

console = Console(
    width=None if sys.stdout.isatty() else _PIPED_COLUMNS, highlight=False
)
errors = Console(
    stderr=True, highlight=False, markup=False, soft_wrap=not sys.stderr.isatty()
)


def tell(step: str) -> None:
    """Say on stderr what happens now."""
    errors.print(f"… {step}")


def print_json(document: object) -> None:
    """Print one JSON document, and nothing else."""
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def print_table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print rows under their columns: coloured on a terminal, else plain lines."""
    if console.is_terminal:
        console.print(table(columns, rows))
        return
    for line in plain_lines(columns, rows):
        print(line)


def plain_lines(
    columns: Iterable[str], rows: Iterable[Iterable[object]]
) -> Iterator[str]:
    """Yield a table as aligned lines, one a row, however long."""
    cells = [list(columns), *([str(cell(value)) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (f"{text:<{width}}" for text, width in zip(row, widths, strict=True))
        yield "  ".join(padded).rstrip()


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    """Make a table; states are coloured."""
    rich_table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        rich_table.add_row(*(cell(value) for value in row))
    return rich_table


def cell(value: object) -> Text:
    """Return a value as people read it; a word for a state in its colour."""
    if value is None:
        return Text("-")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    text = shown(str(value))
    text = _SPOKEN.get(text, text)
    return Text(text, style=_COLOURS.get(text, ""))


def shown(text: str) -> str:
    """Return text that does nothing to a terminal: file names can hold anything."""
    return "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def moment(milliseconds: int | None) -> str | None:
    """Return a time of the API in UTC, to the second."""
    if milliseconds is None:
        return None
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}"


def seconds_between(start: int | None, end: int | None) -> str | None:
    """Return how long something took."""
    if start is None or end is None:
        return None
    return f"{(end - start) / 1000:.2f} s"


def kind_line(kind: Mapping[str, Any], how: Mapping[str, Any]) -> str:
    """
    Say in one line what kind of file a sample is, and who says so.

    Args:
        kind: Its ``type``, ``superType`` and ``mimeType``.
        how: ``decidedBy`` and ``confidence``.
    """
    said = f"{kind['type']} ({kind['superType']}, {kind['mimeType']})"
    return f"{said}, by {how['decidedBy']}, {how['confidence']:.0%} sure"


def print_fields(fields: Mapping[str, object]) -> None:
    """Print a thing's fields, one a line."""
    width = max(len(name) for name in fields)
    for name, value in fields.items():
        console.print(
            Text.assemble((f"{shown(name):<{width}}", "bold"), "  ", cell(value)),
            soft_wrap=True,
        )
