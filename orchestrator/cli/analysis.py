"""
``assay analysis``: what one worker found, in full.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from orchestrator.cli.ids import analysis_of
from orchestrator.cli.options import AsJSON
from orchestrator.client.http import connect
from orchestrator.terminal.findings import analysis_lines
from orchestrator.terminal.output import (
    print_fields,
    print_heading,
    print_json,
    print_labelled,
    print_line,
)
from orchestrator.terminal.words import moment

app = typer.Typer(help="What single workers found.", no_args_is_help=True)

AnalysisID = Annotated[
    str,
    typer.Argument(
        metavar="JOB/WORKER|SHA256/ANALYSIS",
        help="As latest/yara, or a sample's whole hash and the analysis's id.",
    ),
]


@app.callback()
def _analyses() -> None:
    """Keep ``show`` a command of its own, as in every other group."""


@app.command()
def show(analysis: AnalysisID, as_json: AsJSON = False) -> None:
    """Show an analysis: score, findings, files, and the result as it was given."""
    with connect() as client:
        found = client.get(analysis_of(client, analysis))
    if as_json:
        print_json(found)
        return
    print_fields(analysis_fields(found))
    for label, line in analysis_lines(found):
        print_labelled(label, line)
    print_heading("result")
    text = json.dumps(found["analysisResult"], indent=2, ensure_ascii=False)
    for line in text.splitlines():
        print_line(line)


def analysis_fields(found: Mapping[str, Any]) -> dict[str, object]:
    """Return what an analysis is, before what it found."""
    agent = found["userAgent"]
    return {
        "analysis": found["analysisID"],
        "worker": f"{agent['name']} {agent['version']}",
        "score": found["analysisScore"],
        "sample": found["sampleSha256"],
        "job": found["job"] and found["job"]["id"],
        "created": moment(found["createdTimestamp"]),
        "override": found["verdictStatusOverride"],
        "tlp": found["tlp"],
        "flags": ", ".join(found["flags"]) or None,
    }
