"""
``assay sample``: what is known of a file: hashes, names, kind, verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import typer

from orchestrator.cli.ids import sha256_of
from orchestrator.cli.options import AsJSON, SampleID
from orchestrator.client.http import Client, connect
from orchestrator.terminal.output import print_fields, print_json
from orchestrator.terminal.words import kind_line, moment, size

app = typer.Typer(help="Samples.", no_args_is_help=True)

#: Submissions and jobs that are asked for names; a file may have thousands.
_NAMES_FROM = 1000


@app.callback()
def _samples() -> None:
    """Keep ``show`` a command of its own, as in every other group."""


@app.command()
def show(sample: SampleID, as_json: AsJSON = False) -> None:
    """Show a sample: hashes, size, names, what kind of file it is, its verdict."""
    with connect() as client:
        sha256 = sha256_of(client, sample)
        found = client.get(f"/sample/{sha256}")
        names = _names(client, sha256)
    if as_json:
        print_json({**found, "fileNames": names})
        return
    print_fields(sample_fields(found, names))


def sample_fields(sample: Mapping[str, Any], names: Iterable[str]) -> dict[str, object]:
    """Return what is known of a sample, as people read it."""
    kind, verdict = sample["latestClassification"], sample["latestVerdict"]
    fields = {name: sample[name] for name in ("sha256", "sha512", "sha1", "md5")}
    return {
        **fields,
        "size": size(sample["size"]),
        "file names": ", ".join(names) or None,
        "type": None if kind is None else kind_line(kind, kind["metaData"]),
        "platform": None if kind is None else f"{kind['platform']}, {kind['arch']}",
        "classifier": None if kind is None else f"version {kind['version']}",
        "created": moment(sample["createdTimestamp"]),
        "first submitted": moment(sample["firstSubmittedTimestamp"]),
        "last submitted": moment(sample["lastSubmittedTimestamp"]),
        "verdict": None if verdict is None else verdict["status"],
        "score": None if verdict is None else verdict["score"],
    }


def _names(client: Client, sha256: str) -> list[str]:
    """Return the names under which it came, the newest first."""
    submissions = client.get(f"/sample/{sha256}/submission", limit=_NAMES_FROM)
    jobs = client.post("/job/search", {"sampleSha256": [sha256], "limit": _NAMES_FROM})
    found = (given["fileName"] for given in (*submissions, *jobs))
    return list(dict.fromkeys(name for name in found if name))
