"""
``assay up``: the whole of Assay on this machine, until it is told to stop.
"""

from __future__ import annotations

import signal

import typer

from orchestrator.cli.demo import interrupt
from orchestrator.cli.output import console, errors
from orchestrator.config import read_settings
from orchestrator.embedded.stack import Stack

app = typer.Typer()


@app.command()
def up() -> None:
    """Start PostgreSQL, Redis, every process and the bundled workers; Ctrl-C stops."""
    signal.signal(signal.SIGTERM, interrupt)
    settings = read_settings()
    stack = Stack(settings.data_dir, api_port=settings.api_port)
    try:
        info = stack.start(on_progress=lambda step: errors.print(f"… {step}"))
        console.print(f"API        {info.api_url}/docs", highlight=False)
        console.print(f"admin key  {info.api_key}", highlight=False)
        console.print(f"settings   {info.env_file}", highlight=False)
        console.print("other commands find it by themselves; Ctrl-C stops all of it")
        stack.wait()
    finally:
        stack.stop()
