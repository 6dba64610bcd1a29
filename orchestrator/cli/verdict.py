"""
``assay verdict``: what stands of a sample, and how each worker counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from orchestrator.cli.ids import sha256_of
from orchestrator.cli.options import AsJSON, SampleID
from orchestrator.client.http import connect
from orchestrator.terminal.output import print_fields, print_json, print_table
from orchestrator.terminal.report import CONTRIBUTION_COLUMNS, contribution_rows
from orchestrator.terminal.words import moment

app = typer.Typer(help="Verdicts.", no_args_is_help=True)


@app.callback()
def _verdicts() -> None:
    """Keep ``show`` a command of its own, as in every other group."""


@app.command()
def show(sample: SampleID, as_json: AsJSON = False) -> None:
    """Show a sample's current verdict with each contribution."""
    with connect() as client:
        verdict = client.get(f"/sample/{sha256_of(client, sample)}")["latestVerdict"]
    if as_json:
        print_json(verdict)
        return
    if verdict is None:
        print("no verdict yet")
        return
    print_fields(verdict_fields(verdict))
    print()
    print_table(CONTRIBUTION_COLUMNS, contribution_rows(verdict))


def verdict_fields(verdict: Mapping[str, Any]) -> dict[str, object]:
    """Return what a verdict says, before how each worker counted."""
    coverage = verdict["coverage"]
    return {
        "sample": verdict["sampleSha256"],
        "status": verdict["status"],
        "score": verdict["score"],
        # A verdict by hand has none.
        "coverage": None if coverage is None else f"{coverage:.0f} %",
        "comment": verdict["comment"],
        "flags": ", ".join(verdict["flags"]) or None,
        "created": moment(verdict["createdTimestamp"]),
    }
