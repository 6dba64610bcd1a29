"""
The long-running processes: one command each, stopped by SIGTERM or Ctrl-C.

Each imports what it runs when it runs it: a consumer that takes over must not first
load the HTTP API.
"""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.config import read_settings
from orchestrator.logs import configure

app = typer.Typer()


@app.command()
def api() -> None:
    """Serve the HTTP API. Any number may run."""
    from orchestrator.bootstrap.api import run_api
    from orchestrator.bootstrap.awaiting import tell_of_database

    configure("api")
    settings = read_settings()
    tell_of_database(settings)
    run_api(settings)


@app.command()
def dispatch() -> None:
    """Move tasks from the backlog to the broker. Any number may run."""
    from orchestrator.bootstrap.awaiting import await_broker, await_database
    from orchestrator.bootstrap.processes import run_dispatcher

    configure("dispatcher")
    settings = read_settings()
    await_database(settings)
    await_broker(settings)
    run_dispatcher(settings)


@app.command()
def consume() -> None:
    """Apply the workers' reports. One is active, any number stand by."""
    from orchestrator.bootstrap.awaiting import await_broker, await_database
    from orchestrator.bootstrap.processes import run_consumer

    configure("consumer")
    settings = read_settings()
    await_database(settings)
    await_broker(settings)
    run_consumer(settings)


@app.command()
def deliver() -> None:
    """Call webhooks with what has happened. Any number may run; needs no broker."""
    from orchestrator.bootstrap.awaiting import await_database
    from orchestrator.bootstrap.deliver import run_deliverer

    configure("deliver")
    settings = read_settings()
    await_database(settings)
    run_deliverer(settings)


@app.command()
def flower(
    allow_control: Annotated[
        bool,
        typer.Option(
            "--allow-control",
            help="Take commands by its API. Replicas refuse those to them.",
        ),
    ] = False,
) -> None:
    """Serve Flower: what replicas run, and how it ended. Read-only."""
    from orchestrator.bootstrap.awaiting import tell_of_broker
    from orchestrator.flower_app import run_flower

    configure("flower")
    settings = read_settings()
    tell_of_broker(settings)
    run_flower(settings, allow_control=allow_control)


@app.command()
def beat() -> None:
    """Send the ticks of maintenance. Any number may run."""
    from orchestrator.bootstrap.awaiting import await_broker
    from orchestrator.celery_app import run_beat

    configure("beat")
    settings = read_settings()
    await_broker(settings)
    run_beat(settings)


@app.command()
def maintain() -> None:
    """Enforce every deadline, tick by tick. Any number may run."""
    from orchestrator.bootstrap.awaiting import await_broker, await_database
    from orchestrator.bootstrap.processes import build_tick
    from orchestrator.celery_app import run_maintenance

    configure("maintenance")
    settings = read_settings()
    await_database(settings)
    await_broker(settings)
    tick = build_tick(settings)
    raise typer.Exit(run_maintenance(settings, tick))
