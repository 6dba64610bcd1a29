"""
``assay worker``: the registered workers over HTTP, enrolment on the database, and the
SDK's own commands, which run in their own program.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli.options import AsJSON
from orchestrator.client.http import connect, segment
from orchestrator.contracts.wire import SHORT_NAME_PATTERN
from orchestrator.domain.errors import InvalidError
from orchestrator.terminal.output import (
    errors,
    print_fields,
    print_json,
    print_table,
)
from orchestrator.terminal.words import duration, moment

app = typer.Typer(help="Workers.", no_args_is_help=True)

WORKER_COLUMNS = ("worker", "state", "replicas", "slots", "backlog", "version")

#: As the contract has it; a name stands in queue names and in addresses.
_NAME = re.compile(SHORT_NAME_PATTERN)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The worker's short name.")]


@app.command("list")
def list_(as_json: AsJSON = False) -> None:
    """List the registered workers."""
    with connect() as client:
        workers = client.get_all("/worker")
    if as_json:
        print_json(workers)
        return
    print_table(
        WORKER_COLUMNS,
        map(worker_row, workers),
    )


@app.command()
def show(name: Name, as_json: AsJSON = False) -> None:
    """Show a worker: what is set, and what of it runs."""
    with connect() as client:
        found = client.get(f"/worker/{segment(name)}")
        if as_json:
            print_json(found)
            return
        replicas = client.get_all(f"/worker/{segment(name)}/replica")
    fields = dict(zip(WORKER_COLUMNS, worker_row(found), strict=True))
    run_seconds = found["runSeconds"]
    print_fields(
        {
            **fields,
            "name": found["localizedName"],
            "description": found["localizedDescription"] or None,
            "weight": found["weight"],
            "run time": None if run_seconds is None else duration(run_seconds),
            "most losses": found["maxLosses"],
            "window cap": found["windowCap"],
            "created": moment(found["createdTimestamp"]),
            "paused": moment(found["pausedTimestamp"]),
            **{f"replica {one['id']}": _replica(one) for one in replicas},
            **{
                f"aside {one['replica']}": _aside(one) for one in found.get("aside", ())
            },
        }
    )


@app.command()
def pause(name: Name, as_json: AsJSON = False) -> None:
    """Dispatch no more of its tasks; what runs goes on."""
    _command(name, "pause", "is paused", as_json=as_json)


@app.command()
def resume(name: Name, as_json: AsJSON = False) -> None:
    """Dispatch its tasks again."""
    _command(name, "resume", "goes on", as_json=as_json)


@app.command()
def drain(
    replica: Annotated[
        str, typer.Argument(metavar="REPLICA", help="As worker show names it.")
    ],
    undo: Annotated[
        bool, typer.Option("--undo", help="Let it take work again.")
    ] = False,
    as_json: AsJSON = False,
) -> None:
    """Have a replica finish what it has and take nothing more, until it is ended."""
    with connect() as client:
        verb = "undrain" if undo else "drain"
        found = client.put(f"/replica/{segment(replica)}/{verb}")
    if as_json:
        print_json(found)
    elif undo:
        print(f"{found['id']} takes work again")
    else:
        print(f"{found['id']} drains: {found['holds']} in hand, nothing more comes")


@app.command()
def remove(name: Name, as_json: AsJSON = False) -> None:
    """Disable it for good and cancel its open tasks; its analyses stay."""
    with connect() as client:
        found = client.delete(f"/worker/{segment(name)}")
    if as_json:
        print_json(found)
        return
    print(
        f"{found['shortName']} is removed; assay worker register {found['shortName']}"
        " brings it back"
    )


@app.command()
def register(
    name: Name,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Leave it the secret that it has, if it has one."),
    ] = False,
    as_json: AsJSON = False,
) -> None:
    """
    Enrol a worker: print its replicas' secret and their broker account, this once.
    """
    if not _NAME.fullmatch(name) or name in {".", ".."}:
        raise InvalidError(
            f"NAME: {name!r} must be 1 to 64 of a-z, A-Z, 0-9, _ : - .", field="NAME"
        )
    # Only this command needs the database; the others are HTTP clients.
    from orchestrator.bootstrap.enrolment import enrol  # noqa: PLC0415

    done = enrol(name, keep=keep)
    if as_json:
        print_json(
            {
                "worker": name,
                "secret": done.secret,
                "brokerUrl": done.broker_url,
                "brokerKnows": done.problem is None,
            }
        )
        return
    print(f"ASSAY_WORKER_SECRET={done.secret}")
    print(f"ASSAY_BROKER_URL={done.broker_url}")
    if not keep:
        errors.print("They are shown only now, and end those before them.")
    # Beside the queues' names, for which clients have no use.
    from orchestrator.contracts.names import BUNDLED_WORKERS  # noqa: PLC0415

    # A module's name need not be that of the analyzer in it.
    module = name if name in BUNDLED_WORKERS else f"MODULE, the one that holds {name}"
    errors.print(
        "Set them, and ASSAY_API_URL, where the replicas run, and ASSAY_SAMPLE_ROOT or"
        " ASSAY_SAMPLE_HOSTS where they do not read samples from the API, then:"
        f" assay worker run {module}"
    )
    if done.problem is not None:
        errors.print(f"The broker does not know the account yet: {done.problem}")


@app.command(context_settings={"ignore_unknown_options": True})
def check(
    command: Annotated[
        list[str],
        typer.Argument(metavar="-- COMMAND…", help="The program, with its words."),
    ],
    name: Annotated[
        str,
        typer.Option(metavar="NAME", help="The worker's short name, as it is told."),
    ] = "check",
    sample: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What it looks at, if any text will not do."),
    ] = None,
    broker_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="An empty RabbitMQ, instead of a Redis of its own."
        ),
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """
    See whether a program of any language keeps the rules of docs/messages.md.
    """
    # What it stands on is the service's.
    from orchestrator.cli.checking import check_program  # noqa: PLC0415

    check_program(
        command, name=name, sample=sample, broker_url=broker_url, as_json=as_json
    )


def worker_row(worker: Mapping[str, Any]) -> tuple[object, ...]:
    """Return a worker as a row: name, state, replicas, slots, backlog, version."""
    return (
        worker["shortName"],
        worker_state(worker),
        worker["replicas"],
        worker["slots"],
        worker["backlog"],
        worker["version"],
    )


def worker_state(worker: Mapping[str, Any]) -> str:
    """Say in a word whether a worker's tasks move."""
    if worker["deletedTimestamp"]:
        return "deleted"
    if worker["pausedTimestamp"]:
        return "paused"
    if not worker["replicas"]:
        return "nobody home"
    if len(worker.get("draining", ())) >= worker["replicas"]:
        return "draining"
    all_aside = len(worker.get("aside", ())) >= worker["replicas"]
    return "aside" if all_aside else "live"


def _replica(one: Mapping[str, Any]) -> str:
    since = one["drainingTimestamp"]
    drains = f", drains since {moment(since)}" if since else ""
    return f"{one['holds']} in hand, {one['slots']} slots{drains}"


def _aside(one: Mapping[str, Any]) -> str:
    return f"since {moment(one['sinceTimestamp'])}: {one['why']}"


def _command(name: str, verb: str, outcome: str, *, as_json: bool) -> None:
    with connect() as client:
        found = client.put(f"/worker/{segment(name)}/{verb}")
    if as_json:
        print_json(found)
    else:
        print(f"{found['shortName']} {outcome}")


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
        # -P: what is called json.py in the current folder is not Python's.
        words = [sys.executable, "-P", "-m", "workers", verb, *context.args]
        # To become it is the point: signals reach the replica itself.
        os.execv(words[0], words)  # noqa: S606


_sdk("run", "Run a replica: of a bundled worker, or of a module of yours.")
_sdk("new", "Write a new worker with a test, to start from.")
_sdk("try", "Run one file through a worker in its sandbox, without a broker.")
_sdk("conform", "Run odd samples through a worker and report each outcome.")
