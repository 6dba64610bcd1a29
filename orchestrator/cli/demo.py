"""
``assay demo``: shows what a run of ``demo/`` came to.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import AsJSON, named_path
from orchestrator.config import read_settings
from orchestrator.demo.run import DemoResult, run_demo
from orchestrator.domain.words import shown
from orchestrator.terminal.output import complain, errors, print_heading, print_json
from orchestrator.terminal.report import print_outcome
from orchestrator.terminal.signals import interrupt_on_signals
from orchestrator.terminal.sources import Found, find_sources

app = typer.Typer()


@app.command()
def demo(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            parser=named_path, metavar="FILES", help="Instead of the bundled set."
        ),
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Start everything, analyse files, show the verdicts, stop everything."""
    interrupt_on_signals()
    found = _look(files) if files else Found(files=[], unusable=[])
    result = run_demo(found.files)
    _show(result, as_json=as_json, is_complete=not found.unusable)


def _look(files: Sequence[Path]) -> Found:
    """Look at what was named, before anything is started."""
    found = find_sources(files, limit_bytes=read_settings().sample_max_bytes)
    for unusable in found.unusable:
        complain(f"{unusable.shown}: {unusable.why}")
    if not found.files:
        raise typer.Exit(1)
    return found


def _show(result: DemoResult, *, as_json: bool, is_complete: bool) -> None:
    if as_json:
        print_json({"samples": result.reports})
    else:
        for report in result.reports:
            print_heading(report["fileName"] or report["id"])
            print_outcome(report)
    for sentence in result.wrong:
        errors.print(shown(sentence), style="red")
    if result.wrong or not is_complete:
        raise typer.Exit(1)
    done = f"{len(result.reports)} samples, every job done, every task succeeded"
    suffix = ", all as expected" if result.is_bundled else ""
    errors.print(f"{done}{suffix}", style="green")
