"""
How the commands speak: tables for people, one JSON document for programs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from orchestrator.cli.client import Client
from orchestrator.config import client_settings

AsJSON = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

#: Colours of states and statuses, the same everywhere.
_COLOURS = {
    "success": "green",
    "done": "green",
    "benign": "green",
    "executing": "cyan",
    "failed": "red",
    "malicious": "bold red",
    "suspicious": "yellow",
    "timeout": "yellow",
    "cancelled": "magenta",
}

console = Console()
errors = Console(stderr=True)


def connect() -> Client:
    """
    Connect as the settings say.

    Raises:
        ConfigurationError: The address or the key is not set.
    """
    settings = client_settings()
    return Client(settings.api_url, settings.api_key)


def print_json(document: object) -> None:
    """Print one JSON document, and nothing else."""
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write("\n")


def print_table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print rows under their columns."""
    console.print(table(columns, rows))


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    """Make a table; states are coloured."""
    made = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        made.add_row(*(cell(value) for value in row))
    return made


def cell(value: object) -> str:
    """Return a value as people read it."""
    if value is None:
        return "-"
    text = str(value).replace("[", r"\[")
    colour = _COLOURS.get(text)
    return f"[{colour}]{text}[/]" if colour else text


def moment(milliseconds: int | None) -> str | None:
    """Return a time of the API in UTC, to the second."""
    if not milliseconds:
        return None
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}"


def seconds_between(start: int | None, end: int | None) -> str | None:
    """Return how long something took."""
    if not start or not end:
        return None
    return f"{(end - start) / 1000:.2f} s"


def print_fields(fields: dict[str, Any]) -> None:
    """Print a thing's fields, one a line."""
    width = max(len(name) for name in fields)
    for name, value in fields.items():
        console.print(f"[bold]{name:<{width}}[/]  {cell(value)}", highlight=False)
