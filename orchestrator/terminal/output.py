"""
How the commands speak: tables for people, one JSON document for programs.

Owns both streams; how values read is ``words.py``'s, how tables fit ``tables.py``'s.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.text import Text

from orchestrator.domain.words import shown
from orchestrator.terminal.tables import cell, plain_lines, table

#: Words before a line that say what it is, and the space they take.
_LABEL_WIDTH = 8

#: Wide enough that a line that is piped stays one.
_PIPED_COLUMNS = 100_000

console = Console(highlight=False, markup=False)
if not console.is_terminal:
    console.width = _PIPED_COLUMNS
errors = Console(stderr=True, highlight=False, markup=False)
errors.soft_wrap = not errors.is_terminal


def tell(step: str) -> None:
    """Say on stderr what happens now."""
    errors.print(shown(f"… {step}"), soft_wrap=True)


def complain(what: str) -> None:
    """Say on stderr what went wrong, beside what went well."""
    errors.print(shown(f"assay: {what}"), soft_wrap=True)


def print_json(document: object) -> None:
    """Print one JSON document, and nothing else."""
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def print_table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print rows under their columns: fitted to a terminal, else as plain lines."""
    if console.is_terminal:
        console.print(table(columns, rows, width=console.width))
        return
    for line in plain_lines(columns, rows):
        print(line)


def print_fields(fields: Mapping[str, object]) -> None:
    """Print a thing's fields, one a line."""
    width = max(len(name) for name in fields)
    for name, value in fields.items():
        console.print(
            Text.assemble((f"{shown(name):<{width}}", "bold"), "  ", cell(value)),
            soft_wrap=True,
        )


def print_line(*parts: str | Text) -> None:
    """Print one line; what of it is from a sample does nothing to a terminal."""
    safe = (shown(part) if isinstance(part, str) else part for part in parts)
    console.print(Text.assemble(*safe), soft_wrap=True)


def print_heading(text: str) -> None:
    """Print what the lines below it are about, after an empty one."""
    console.print()
    console.print(Text(shown(text), style="bold"), soft_wrap=True)


def print_labelled(label: str, line: str) -> None:
    """Print a line, and before it what it is."""
    print_line(f"  {label:<{_LABEL_WIDTH}}  {line}")
