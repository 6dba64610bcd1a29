"""
``assay verdict``: what stands of a sample, and how each worker counted.
"""

from __future__ import annotations

import typer

from orchestrator.cli.ids import sha256_of
from orchestrator.cli.options import AsJSON, SampleID
from orchestrator.client.http import connect
from orchestrator.terminal.output import print_fields, print_json, print_table
from orchestrator.terminal.report import CONTRIBUTION_COLUMNS, contribution_rows

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
    names = ("sampleSha256", "status", "score", "coverage", "comment", "flags")
    fields = {name: verdict[name] for name in names}
    print_fields({**fields, "flags": ", ".join(verdict["flags"]) or None})
    print()
    print_table(CONTRIBUTION_COLUMNS, contribution_rows(verdict))
