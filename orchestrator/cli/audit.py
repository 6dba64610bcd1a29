"""
``assay audit``: who changed what by hand, when and from where.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from orchestrator.cli.options import AsJSON
from orchestrator.client.http import connect
from orchestrator.terminal.output import print_json, print_table
from orchestrator.terminal.words import moment

app = typer.Typer()

AUDIT_COLUMNS = ("when", "who", "from", "what", "on", "detail")

_UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week"}
_AGO = re.compile(r"(\d+)([smhdw])", re.ASCII)


@app.command()
def audit(
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help="30m, 12h, 1d, 2w, or a time as 2016-11-30T15:47:00Z."
        ),
    ] = None,
    actor: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who: a user or account.")
    ] = None,
    action: Annotated[
        str | None,
        typer.Option(
            metavar="ACTION", help="What: worker.pause, or worker for all of them."
        ),
    ] = None,
    on: Annotated[
        str | None, typer.Option(metavar="NAME", help="On what: its id or name.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, metavar="N", help="How many.")
    ] = 100,
    as_json: AsJSON = False,
) -> None:
    """Say who changed what by hand, the newest first; needs an administrator's key."""
    start = None if since is None else api_time(since)
    wanted = {"since": start, "actor": actor, "action": action, "object": on}
    with connect() as client:
        found = client.get("/audit", limit=limit, **wanted)
    if as_json:
        print_json(found)
    else:
        print_table(AUDIT_COLUMNS, map(audit_row, found))


def api_time(written: str) -> str:
    """Return ``1d`` as the API writes it; what is written otherwise, as it is."""
    ago = _AGO.fullmatch(written)
    return f"now - {ago[1]} {_UNITS[ago[2]]}" if ago else written


def audit_row(entry: Mapping[str, Any]) -> tuple[object, ...]:
    """Return an entry as a row: when, who, from where, what, on what, detail."""
    return (
        moment(entry["timestamp"]),
        entry["actor"],
        entry["source"],
        entry["action"],
        entry["object"],
        _words(entry["detail"]) or None,
    )


def _words(detail: Mapping[str, Any]) -> str:
    parts = ((name, value) for name, value in detail.items() if value not in (None, ""))
    return ", ".join(f"{name} {_word(value)}" for name, value in parts)


def _word(value: Any) -> str:  # any JSON
    match value:
        case {"from": before, "to": after}:
            return f"{_word(before)} → {_word(after)}"
        case None:
            return "-"
        case {}:
            return "changed" if not value else json.dumps(value, ensure_ascii=False)
        case [*items]:
            return " ".join(map(_word, items)) or "none"
        case _:
            return str(value)
