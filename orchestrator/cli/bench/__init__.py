"""
``assay bench``: how fast it is here, measured on the real processes.

Each benchmark has a file of its own; comparisons with others are in
``tests/benchmarks``. What the numbers mean is in ``docs/operations/benchmark.md``.
"""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.bench import fanout as fanout_bench
from orchestrator.cli.bench import reports as reports_bench
from orchestrator.cli.bench.ground import ground
from orchestrator.cli.bench.summary import Runs, show
from orchestrator.cli.demo import interrupt_on_signals
from orchestrator.cli.output import AsJSON

app = typer.Typer(
    help="How fast it is on this machine; each starts and stops a stack of its own.",
    no_args_is_help=True,
)


@app.command()
def fanout(
    jobs: Annotated[int, typer.Option(min=1, help="In each run.")] = 400,
    workers: Annotated[int, typer.Option(min=1, help="Tasks of each job.")] = 8,
    slots: Annotated[int, typer.Option(min=1, help="Of each worker.")] = 1,
    runs: Runs = 5,
    as_json: AsJSON = False,
) -> None:
    """The whole path: tasks a second, a lone job's latency, CPU and memory."""
    interrupt_on_signals()
    plan = fanout_bench.Plan(jobs=jobs, workers=workers, slots=slots, runs=runs)
    with ground() as found:
        result = fanout_bench.measure(found, plan)
    show(result, as_json=as_json)


@app.command()
def reports(
    reports: Annotated[int, typer.Option(min=1000, help="In each run.")] = 20_000,
    runs: Runs = 5,
    as_json: AsJSON = False,
) -> None:
    """How many reports a second one consumer applies."""
    interrupt_on_signals()
    with ground() as found:
        result = reports_bench.measure(
            found, reports_bench.Plan(reports=reports, runs=runs)
        )
    show(result, as_json=as_json)
