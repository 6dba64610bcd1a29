"""
``python -m tests.benchmarks [NAME…]``: Assay's own benchmarks and the same jobs through
others, in one run; prints each, then the marks. Without names: everything.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace

from orchestrator.bench import backlog, executing, fanout, history, reports, sweep
from orchestrator.bench.summary import Result, show
from orchestrator.bench.testbed import Broker, Testbed, testbed
from orchestrator.terminal.output import print_json, print_table
from orchestrator.terminal.signals import interrupt_on_signals
from tests.benchmarks.compare import measure_peer
from tests.benchmarks.marks import marks_of
from tests.benchmarks.peers import PEERS
from tests.benchmarks.start import measure_start
from tests.fixtures.rabbitmq_node import find_program, running

_COLUMNS = ("mark", "measured", "wanted", "met")

Measure = Callable[[Testbed, argparse.Namespace], Result]


def main() -> None:
    given = _parse()
    interrupt_on_signals()
    results = {}
    for name in given.names or _everything():
        results[name] = _measure(name, given)
        if not given.json:
            show(results[name], as_json=False)
            print()  # noqa: T201
    marks = marks_of({name: result.medians for name, result in results.items()})
    if given.json:
        documents = {name: result.document() for name, result in results.items()}
        print_json({"benchmarks": documents, "marks": marks})
    elif marks:
        print_table(_COLUMNS, (mark.values() for mark in marks))


def _everything() -> list[str]:
    on_rabbitmq = _ON_RABBITMQ if find_program() else {}
    return [*_BENCHMARKS, *on_rabbitmq, "start"]


def _measure(name: str, given: argparse.Namespace) -> Result:
    if name == "start":
        # No part of a testbed, but all that a person types.
        return measure_start(given.runs)
    if name not in _ON_RABBITMQ:
        with testbed() as found:
            return _BENCHMARKS[name](found, given)
    program = find_program()
    if program is None:
        sys.exit(f"{name}: rabbitmq-server is not installed")
    with running(program) as node:
        broker = Broker(name="rabbitmq", url=node.url, pid=node.pid)
        with testbed(broker) as found:
            return replace(_ON_RABBITMQ[name](found, given), benchmark=name)


def _fanout_plan(given: argparse.Namespace) -> fanout.Plan:
    return fanout.Plan(
        jobs=given.jobs, workers=given.workers, slots=given.slots, runs=given.runs
    )


def _peer(name: str) -> Measure:
    return lambda found, given: measure_peer(found, name, _fanout_plan(given))


_BENCHMARKS: Mapping[str, Measure] = {
    "fanout": lambda found, given: fanout.measure(found, _fanout_plan(given)),
    "fanout_fresh": lambda found, given: fanout.measure(
        found, replace(_fanout_plan(given), reuse_child=False)
    ),
    **{name: _peer(name) for name in PEERS},
    "reports": lambda found, given: reports.measure(
        found, reports.Plan(reports=20_000, runs=given.runs)
    ),
    "executing": lambda found, given: executing.measure(
        found, executing.Plan(tasks=1200, runs=given.runs)
    ),
    "sweep": lambda found, given: sweep.measure(
        found, sweep.Plan(open_tasks=given.open, expiries=10_000, runs=given.runs)
    ),
    "history": lambda found, given: history.measure(
        found,
        history.Plan(
            tasks=given.finished, open_tasks=50_000, requests=50, runs=given.runs
        ),
    ),
    "backlog": lambda found, given: backlog.measure(
        found, backlog.Plan(tasks=given.queued, seconds=15, runs=given.runs)
    ),
}


#: On a RabbitMQ instead of Redis.
_ON_RABBITMQ: Mapping[str, Measure] = {
    "fanout_rabbitmq": _BENCHMARKS["fanout"],
    "celery_rabbitmq": _BENCHMARKS["celery"],
}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    known = (*_BENCHMARKS, *_ON_RABBITMQ, "start")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--jobs", type=int, default=400, help="of fanout and others")
    parser.add_argument("--workers", type=int, default=8, help="tasks of each job")
    parser.add_argument("--slots", type=int, default=1, help="of each worker")
    parser.add_argument("--runs", type=int, default=5, help="medians count")
    parser.add_argument("--open", type=int, default=1_000_000, help="of sweep")
    parser.add_argument("--finished", type=int, default=800_000, help="of history")
    parser.add_argument("--queued", type=int, default=1_000_000, help="of backlog")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in known]
    if unknown:
        parser.error(f"no benchmark {unknown[0]}; there are {', '.join(known)}")
    return given


if __name__ == "__main__":
    main()
