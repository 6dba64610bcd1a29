"""
``assay up``: the whole of Assay on this machine, until it is told to stop.

What it starts and in which order is ``embedded/stack.py``'s.
"""

from __future__ import annotations

import contextlib

import typer

from orchestrator.config import read_settings
from orchestrator.domain.errors import AssayError
from orchestrator.embedded.stack import Stack
from orchestrator.terminal.output import console, print_fields, tell
from orchestrator.terminal.signals import end, interrupt_on_signals

app = typer.Typer()


@app.command()
def up() -> None:
    """Start PostgreSQL, Redis, every process and the bundled workers; Ctrl-C stops."""
    interrupt_on_signals()
    settings = read_settings()
    stack = Stack(
        settings.data_dir,
        api_port=settings.api_port,
        flower_port=settings.flower_port,
        extra_env={"ASSAY_WEBHOOK_NETWORKS": settings.webhook_networks},
    )
    try:
        _run(stack)
    finally:
        end(stack)


def _run(stack: Stack) -> None:
    info = stack.start(on_progress=tell)
    print_fields(
        {
            "console": info.api_url,
            "API": info.api_url,
            "documentation": f"{info.api_url}/docs",
            "Flower": info.flower_url,
            "Flower user": info.flower_user,
            "Flower password": info.flower_password,
            "admin key": info.api_key,
            "settings": info.env_file,
        }
    )
    console.print("other commands find it by themselves; Ctrl-C stops all of it")
    # To be told to stop is how it ends; to end by itself is not.
    with contextlib.suppress(KeyboardInterrupt):
        stack.wait()
        raise AssayError(
            "the stack ended by itself; see the logs in its data directory"
        )
