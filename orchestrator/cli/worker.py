"""
``assay worker``: the registered workers over HTTP, enrolment on the database, and the
SDK's own commands, which run in their own program.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from orchestrator.cli.output import (
    AsJSON,
    connect,
    moment,
    print_fields,
    print_json,
    print_table,
)

app = typer.Typer(help="Workers.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Short name.")]


@app.command("list")
def list_(as_json: AsJSON = False) -> None:
    """List the registered workers."""
    with connect() as client:
        workers = client.get_all("/worker")
    if as_json:
        print_json(workers)
        return
    print_table(
        ("worker", "name", "created", "flags"),
        (
            (
                one["shortName"],
                one["localizedName"],
                moment(one["createdTimestamp"]),
                " ".join(one["flags"]),
            )
            for one in workers
        ),
    )


@app.command()
def show(name: Name, as_json: AsJSON = False) -> None:
    """Show a worker."""
    with connect() as client:
        found = client.get(f"/worker/{name}")
    if as_json:
        print_json(found)
    else:
        print_fields(found)


@app.command()
def pause(name: Name) -> None:
    """Dispatch no more of its tasks; what runs goes on, other clocks stand still."""
    with connect() as client:
        client.put(f"/worker/{name}/pause")
    print(f"{name} is paused")


@app.command()
def resume(name: Name) -> None:
    """Dispatch its tasks again."""
    with connect() as client:
        client.put(f"/worker/{name}/resume")
    print(f"{name} goes on")


@app.command()
def register(name: Name) -> None:
    """Enrol a worker: print the secret that its replicas sign with, this once."""
    # Only this command needs the database; the others are HTTP clients.
    from orchestrator.config import read_settings, require  # noqa: PLC0415
    from orchestrator.db.unit_of_work import Database  # noqa: PLC0415
    from orchestrator.flow.register import enrol_worker  # noqa: PLC0415

    settings = read_settings()
    database = Database(require(settings.database_url, "DATABASE_URL"))
    with database.uow() as tx:
        secret = enrol_worker(tx, name, keys=settings.engine().keys)
    database.close()
    print(f"ASSAY_WORKER_SECRET={secret}")
    print("export it for the replicas; older secrets are void", file=sys.stderr)


def _sdk(verb: str, help_text: str) -> None:
    @app.command(
        verb,
        help=help_text,
        context_settings={
            "allow_extra_args": True,
            "ignore_unknown_options": True,
            "help_option_names": [],
        },
    )
    def run(context: typer.Context) -> None:
        words = [sys.executable, "-m", "workers", verb, *context.args]
        # To become it is the point: signals reach the replica itself.
        os.execv(words[0], words)  # noqa: S606


_sdk("run", "Run a replica: of a bundled worker, or of a module of yours.")
_sdk("new", "Write a new worker with a test, to start from.")
_sdk("try", "Run one file through a worker in its sandbox, without a broker.")
_sdk("conform", "Run odd samples through a worker and report each outcome.")
