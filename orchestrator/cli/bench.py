"""
``assay bench``: how fast it is here, measured on the real processes.

What each benchmark does is in ``bench/``, comparisons with others in
``tests/benchmarks``; what the numbers mean is in ``docs/operations/benchmark.md``.
"""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.bench import backlog, executing, fanout, history, reports, sweep
from orchestrator.bench.summary import show
from orchestrator.bench.testbed import testbed
from orchestrator.cli.options import AsJSON
from orchestrator.terminal.signals import interrupt_on_signals

Runs = Annotated[
    int, typer.Option(min=1, metavar="N", help="Measure so often; medians count.")
]

app = typer.Typer(
    help="How fast it is on this machine; each starts and stops a stack of its own.",
    no_args_is_help=True,
)


@app.command("fanout")
def run_fanout(
    jobs: Annotated[int, typer.Option(min=1, help="In each run.")] = 400,
    workers: Annotated[int, typer.Option(min=1, help="Tasks of each job.")] = 8,
    slots: Annotated[int, typer.Option(min=1, help="Of each worker.")] = 1,
    runs: Runs = 5,
    as_json: AsJSON = False,
) -> None:
    """The whole path: tasks a second, a lone job's latency, CPU and memory."""
    interrupt_on_signals()
    plan = fanout.Plan(jobs=jobs, workers=workers, slots=slots, runs=runs)
    with testbed() as found:
        result = fanout.measure(found, plan)
    show(result, as_json=as_json)


@app.command("executing")
def run_executing(
    tasks: Annotated[int, typer.Option(min=100, help="In each run.")] = 1200,
    runs: Runs = 5,
    as_json: AsJSON = False,
) -> None:
    """How soon a row says that its analysis runs, at a hundred tasks a second."""
    interrupt_on_signals()
    with testbed() as found:
        result = executing.measure(found, executing.Plan(tasks=tasks, runs=runs))
    show(result, as_json=as_json)


@app.command("reports")
def run_reports(
    count: Annotated[
        int, typer.Option("--reports", min=1000, help="In each run.")
    ] = 20_000,
    runs: Runs = 5,
    as_json: AsJSON = False,
) -> None:
    """How many reports a second one consumer applies."""
    interrupt_on_signals()
    with testbed() as found:
        result = reports.measure(found, reports.Plan(reports=count, runs=runs))
    show(result, as_json=as_json)


@app.command("sweep")
def run_sweep(
    open_tasks: Annotated[
        int, typer.Option("--open", min=0, help="Tasks that are not due; try 10000000.")
    ] = 1_000_000,
    expiries: Annotated[int, typer.Option(min=1, help="In each run.")] = 10_000,
    runs: Runs = 5,
    as_json: AsJSON = False,
) -> None:
    """How long many expiries take among many more open tasks."""
    interrupt_on_signals()
    plan = sweep.Plan(open_tasks=open_tasks, expiries=expiries, runs=runs)
    with testbed() as found:
        result = sweep.measure(found, plan)
    show(result, as_json=as_json)


@app.command("history")
def run_history(
    tasks: Annotated[
        int, typer.Option(min=1000, help="That ended before; try 8000000.")
    ] = 800_000,
    open_tasks: Annotated[
        int, typer.Option("--open", min=0, help="Tasks that are open besides.")
    ] = 50_000,
    requests: Annotated[
        int, typer.Option(min=1, help="For each page, in each run.")
    ] = 50,
    runs: Runs = 5,
    as_json: AsJSON = False,
) -> None:
    """What pages of the API cost when much has happened; --json has the plans too."""
    interrupt_on_signals()
    with testbed() as found:
        plan = history.Plan(
            tasks=tasks, open_tasks=open_tasks, requests=requests, runs=runs
        )
        result = history.measure(found, plan)
    show(result, as_json=as_json)


@app.command("backlog")
def run_backlog(
    tasks: Annotated[int, typer.Option(min=10_000, help="Queued.")] = 1_000_000,
    seconds: Annotated[int, typer.Option(min=1, help="Of looking, in each run.")] = 15,
    runs: Runs = 5,
    as_json: AsJSON = False,
) -> None:
    """What a long backlog costs the broker, and whether a priority overtakes it."""
    interrupt_on_signals()
    plan = backlog.Plan(tasks=tasks, seconds=seconds, runs=runs)
    with testbed() as found:
        result = backlog.measure(found, plan)
    show(result, as_json=as_json)
