"""
``assay evidence``: the files that came with an analysis: listed, and fetched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from orchestrator.cli.analysis import AnalysisID
from orchestrator.cli.ids import analysis_of
from orchestrator.cli.options import AsJSON
from orchestrator.cli.saving import Force, Output, save, tell_saved
from orchestrator.client.http import connect
from orchestrator.domain.errors import NotFoundError
from orchestrator.terminal.output import print_json, print_table
from orchestrator.terminal.words import (
    known_by_beginning,
    known_by_end,
    moment,
    size,
)

app = typer.Typer(help="Files that came with an analysis.", no_args_is_help=True)

_BEWARE = "it may be malicious: do not open it here"


@app.command("list")
def list_(analysis: AnalysisID, as_json: AsJSON = False) -> None:
    """List the files of an analysis."""
    with connect() as client:
        found = client.get_all(f"{analysis_of(client, analysis)}/evidence")
    if as_json:
        print_json(found)
        return
    print_table(
        ("file", "size", "type", "hash", "id", "created"),
        (
            (
                each["fileName"],
                size(each["size"]),
                each["mimeType"],
                known_by_beginning(each["checksum"]),
                known_by_end(each["id"]),
                moment(each["createdTimestamp"]),
            )
            for each in found
        ),
    )


@app.command()
def get(
    analysis: AnalysisID,
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="Its name, or a part of its hash or id."),
    ],
    output: Output = None,
    force: Force = False,
    as_json: AsJSON = False,
) -> None:
    """Save a file of an analysis; it may be malicious."""
    with connect() as client:
        place = f"{analysis_of(client, analysis)}/evidence"
        meant = _one(client.get_all(place), file)
        target = save(
            client,
            f"{place}/{meant['id']}/download",
            output,
            name=meant["checksum"],
            force=force,
        )
    tell_saved(target, _BEWARE, as_json=as_json)


def _one(found: Sequence[Any], wanted: str) -> Any:
    meant = [each for each in found if wanted == each["fileName"]] or [
        each for each in found if wanted and _is_part(wanted, each)
    ]
    # The same bytes under two names are one file.
    if len({each["checksum"] for each in meant}) == 1:
        return meant[0]
    names = ", ".join(each["fileName"] for each in meant or found) or "no files"
    why = f"'{wanted}' may be {names}" if meant else f"this analysis has {names}"
    raise NotFoundError(f"{why}; see assay evidence list", field="FILE")


def _is_part(wanted: str, each: Any) -> bool:
    part, wholes = wanted.lower(), (each["checksum"], each["id"])
    return any(whole.startswith(part) or whole.endswith(part) for whole in wholes)
