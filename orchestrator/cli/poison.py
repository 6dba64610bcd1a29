"""
``assay poison``: samples of which workers die, and giving them another chance.
"""

from __future__ import annotations

import typer

from orchestrator.cli.ids import sha256_of
from orchestrator.cli.options import AsJSON, SampleID
from orchestrator.cli.worker import Name
from orchestrator.client.http import connect, segment
from orchestrator.terminal.output import print_json, print_table
from orchestrator.terminal.words import known_by_beginning, moment

app = typer.Typer(help="Samples of which workers die.", no_args_is_help=True)


@app.command("list")
def list_(as_json: AsJSON = False) -> None:
    """List what no worker is given any more because it died of it three times."""
    with connect() as client:
        found = client.get_all("/poison")
    if as_json:
        print_json(found)
        return
    print_table(
        ("sample", "worker", "version", "deaths", "since", "in force"),
        (
            (
                known_by_beginning(poison["sampleSha256"]),
                poison["worker"],
                poison["version"],
                poison["deaths"],
                moment(poison["poisonedTimestamp"]),
                poison["inForce"],
            )
            for poison in found
        ),
    )


@app.command()
def clear(sample: SampleID, worker: Name, as_json: AsJSON = False) -> None:
    """Let a worker look at a sample again; what failed stays so until it is retried."""
    with connect() as client:
        sha256 = sha256_of(client, sample)
        done = client.put(f"/poison/{sha256}/{segment(worker)}/clear")
    if as_json:
        print_json(done)
    elif done["cleared"]:
        print(f"{worker} is given {sha256} again; assay job retry JOB tries anew")
    else:
        print("it had been cleared before")
