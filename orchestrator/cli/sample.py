"""
``assay sample``: what is known of a file, and the file itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from orchestrator.cli.ids import sha256_of
from orchestrator.cli.options import AsJSON, SampleID
from orchestrator.cli.saving import Force, Output, save, tell_saved
from orchestrator.client.http import Client, connect
from orchestrator.terminal.output import print_fields, print_json
from orchestrator.terminal.words import kind_line, moment, size

app = typer.Typer(help="Samples.", no_args_is_help=True)

#: Submissions and jobs that are asked for names; a file may have thousands.
_NAMES_FROM = 1000

_BEWARE = "it may be malicious: do not open it here"
_BEWARE_ZIP = "what is in it may be malicious; its password is infected"


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


@app.command()
def get(
    sample: SampleID,
    safe: Annotated[
        bool,
        typer.Option("--safe", help="In an encrypted ZIP; its password is infected."),
    ] = False,
    output: Output = None,
    force: Force = False,
    as_json: AsJSON = False,
) -> None:
    """Save a sample's bytes as they are, or in an encrypted ZIP; may be malicious."""
    with connect() as client:
        sha256 = sha256_of(client, sample)
        form, name = ("safe", f"{sha256}.zip") if safe else ("raw", sha256)
        target = save(
            client, f"/sample/{sha256}/{form}", output, name=name, force=force
        )
    tell_saved(target, _BEWARE_ZIP if safe else _BEWARE, as_json=as_json)


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
