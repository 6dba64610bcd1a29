"""
``assay demo``: shows what a run of ``demo/`` came to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import AsJSON, named_path
from orchestrator.demo.report import sample_report
from orchestrator.demo.run import DemoResult, run_demo
from orchestrator.terminal.output import console, errors, print_json
from orchestrator.terminal.signals import interrupt_on_signals
from orchestrator.terminal.submit import files_of

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
    result = run_demo(files_of(files) if files else [])
    _show(result, as_json=as_json)


def _show(result: DemoResult, *, as_json: bool) -> None:
    if as_json:
        print_json({"samples": result.reports})
    else:
        for report in result.reports:
            console.print(sample_report(report))
    for sentence in result.wrong:
        errors.print(sentence, style="red")
    if result.wrong:
        raise typer.Exit(1)
    done = f"{len(result.reports)} samples, every job done, every task succeeded"
    suffix = ", all as expected" if result.is_bundled else ""
    errors.print(f"{done}{suffix}", style="green")
