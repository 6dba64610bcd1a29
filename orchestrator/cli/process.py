"""
The long-running processes: one command each, stopped by SIGTERM or Ctrl-C.
"""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator import bootstrap, celery_app, flower_app
from orchestrator.config import read_settings
from orchestrator.logs import configure

app = typer.Typer()


@app.command()
def api() -> None:
    """Serve the HTTP API. Any number may run."""
    configure("api")
    bootstrap.run_api(read_settings())


@app.command()
def dispatch() -> None:
    """Move tasks from the backlog to the broker. Any number may run."""
    configure("dispatcher")
    bootstrap.run_dispatcher(read_settings())


@app.command()
def consume() -> None:
    """Apply the workers' reports. One is active, any number stand by."""
    configure("consumer")
    bootstrap.run_consumer(read_settings())


@app.command()
def flower(
    allow_control: Annotated[
        bool, typer.Option("--allow-control", help="Let its buttons work.")
    ] = False,
) -> None:
    """Serve Flower: what replicas run, and how it ended. Read-only."""
    configure("flower")
    flower_app.run_flower(read_settings(), allow_control=allow_control)


@app.command()
def beat() -> None:
    """Send the ticks of maintenance. Any number may run."""
    configure("beat")
    celery_app.run_beat(read_settings())


@app.command()
def maintain() -> None:
    """Enforce every deadline, tick by tick. Any number may run."""
    configure("maintenance")
    settings = read_settings()
    tick = bootstrap.build_tick(settings)
    raise typer.Exit(celery_app.run_maintenance(settings, tick))
