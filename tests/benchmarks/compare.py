"""
Runs the same jobs through somebody else, and measures what ``assay bench fanout`` does.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from orchestrator.bench.fanout import CLIENTS, LONE_JOBS, Plan
from orchestrator.bench.processes import cpu_seconds
from orchestrator.bench.summary import Figures, Result, milliseconds
from orchestrator.bench.testbed import Testbed, wait_until
from orchestrator.terminal.output import tell
from tests.benchmarks.peers import PEERS, Client, Started

_SECONDS = 300


def measure_peer(found: Testbed, name: str, plan: Plan) -> Result:
    """Run the jobs of *plan* through a peer, as often as Assay runs them."""
    started = PEERS[name](found, plan)
    clients = [Client(found, started, number) for number in range(CLIENTS)]
    # The first jobs wait for the workers to be there.
    _run_jobs(started, clients, CLIENTS * 5, workers=plan.workers)
    runs = []
    for number in range(1, plan.runs + 1):
        tell(f"{name}: run {number} of {plan.runs}")
        runs.append(_run(found, started, clients, plan))
    parameters = {"jobs": plan.jobs, "workers": plan.workers, "slots": plan.slots}
    return Result(benchmark=name, parameters=parameters, runs=runs)


def _run(
    found: Testbed, started: Started, clients: Sequence[Client], plan: Plan
) -> Figures:
    tasks = plan.jobs * plan.workers
    before = cpu_seconds(found.pids)
    seconds = _run_jobs(started, clients, plan.jobs, workers=plan.workers)
    after = cpu_seconds(found.pids)
    lone = [
        _run_jobs(started, clients[:1], 1, workers=plan.workers)
        for _ in range(LONE_JOBS)
    ]
    used = sum(after[name] - before[name] for name in after)
    return {
        "tasks_per_second": tasks / seconds,
        "seconds": seconds,
        **milliseconds("lone_job", lone),
        "cpu_ms_per_task": used * 1000 / tasks,
    }


def _run_jobs(
    started: Started, clients: Sequence[Client], jobs: int, *, workers: int
) -> float:
    """Return the seconds from the first request until all is known to be done."""
    done = _size(started) + jobs * workers
    began = time.monotonic()
    for number, client in enumerate(clients):
        client.ask(len(range(number, jobs, len(clients))))
    if started.answers:
        for client in clients:
            client.wait()
        return time.monotonic() - began
    wait_until(
        lambda: _size(started) >= done,
        what=f"{jobs} jobs",
        seconds=_SECONDS,
        every_seconds=0.001 if jobs == 1 else 0.01,
    )
    seconds = time.monotonic() - began
    for client in clients:
        client.wait()
    return seconds


def _size(started: Started) -> int:
    return started.done.stat().st_size if started.done.exists() else 0
