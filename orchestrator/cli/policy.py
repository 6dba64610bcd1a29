"""
``assay policy``: which workers look at what, and why, before anything is submitted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli.options import AsJSON, named_path
from orchestrator.client.http import connect
from orchestrator.terminal.output import print_fields, print_json, print_table
from orchestrator.terminal.words import kind_line

app = typer.Typer(help="The default policy and its rules.", no_args_is_help=True)


@app.command()
def show(as_json: AsJSON = False) -> None:
    """Show the default policy and its rules."""
    with connect() as client:
        policy = client.get("/policy/default")
        rules = client.get_all("/policy/default/rule")
    if as_json:
        print_json({"policy": policy, "rules": rules})
        return
    names = ", ".join(worker["shortName"] for worker in policy["workers"]) or "none"
    print_fields({"workers": names, "options": _options(policy["options"])})
    if rules:
        print()
        print_table(
            ("rule", "for", "workers", "options"),
            (
                (rule["name"], _match(rule), _workers(rule), _changes(rule))
                for rule in rules
            ),
        )


@app.command()
def explain(
    file: Annotated[
        Path,
        typer.Argument(
            parser=named_path, metavar="FILE", help="The file to ask about."
        ),
    ],
    tlp: Annotated[
        str, typer.Option(metavar="TLP", help="clear, green or amber.")
    ] = "amber",
    meta: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Metadata; may be repeated."),
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Say of every registered worker why it would look at a file; nothing is kept."""
    with connect() as client:
        found = client.send(
            "/policy/default/explain", file, tlp=tlp, metaData=meta or []
        )
    if as_json:
        print_json(found)
        return
    print_fields(
        {
            "sample": found["sha256"],
            "type": _kind(found["classification"]),
            "options": _options(found["options"]),
        }
    )
    print()
    print_table(
        ("worker", "selected", "reason", "detail"),
        (
            (choice["worker"], choice["selected"], choice["reason"], choice["detail"])
            for choice in found["workers"]
        ),
    )


def _kind(kind: dict[str, Any]) -> str:
    # It has the names of the assignment that a worker gets.
    names = {"superType": kind["super_type"], "mimeType": kind["mime_type"]}
    how = {"decidedBy": kind["decided_by"], "confidence": kind["confidence"]}
    return kind_line({**kind, **names}, how)


def _options(options: list[dict[str, str]]) -> str | None:
    return ", ".join(f"{option['key']}={option['value']}" for option in options) or None


def _match(rule: dict[str, Any]) -> str:
    match = rule["match"]
    if match["customer"]:
        names = (customer["shortName"] for customer in match["customer"]["customer"])
        return f"customer {', '.join(names)}"
    if match["submission"]:
        keys = ", ".join(match["submission"]["metaDataKey"])
        return f"{keys} = {', '.join(match['submission']['metaDataValue'])}"
    kind = match["classification"]
    return ", ".join([*kind["type"], *kind["superType"]])


def _workers(rule: dict[str, Any]) -> str | None:
    action = rule["action"]["workers"]
    return _parts(
        {
            name: None if part is None else [worker["shortName"] for worker in part]
            for name, part in action.items()
        }
    )


def _changes(rule: dict[str, Any]) -> str | None:
    action = rule["action"]["options"]
    shown = {
        name: None
        if part is None
        else [
            option if isinstance(option, str) else f"{option['key']}={option['value']}"
            for option in part
        ]
        for name, part in action.items()
    }
    return _parts(shown)


def _parts(parts: dict[str, list[str] | None]) -> str | None:
    said = [f"{name} {', '.join(part)}" for name, part in parts.items() if part]
    return "; ".join(said) or None
