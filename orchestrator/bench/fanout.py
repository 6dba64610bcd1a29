"""
``assay bench fanout``: the whole path of many small jobs, and of one alone.

Clients create the jobs over HTTP; replicas analyse in sandboxes. The path ends when the
last task's row is final in the database, as anybody else would see it.
"""

from __future__ import annotations

import hashlib
import itertools
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.bench.processes import cpu_seconds, peak_rss_mib
from orchestrator.bench.submitters import Submitter
from orchestrator.bench.summary import Figures, Result, milliseconds
from orchestrator.bench.testbed import Testbed, wait_until
from orchestrator.client.http import Client
from orchestrator.db.states import OPEN, SUCCESS
from orchestrator.domain.errors import AssayError
from orchestrator.terminal.output import tell

#: Who create jobs at the same time.
CLIENTS = 4

#: Jobs one after another, each alone in the system.
LONE_JOBS = 40

#: Nobody is that slow: a tenth of the slowest machine seen.
_SECONDS_PER_TASK = 0.1
_SPARE_SECONDS = 60

#: The engine without the API.
ENGINE = ("dispatch", "consume", "beat", "maintain")

#: What processes are called of which there are several → their part.
_JOINED = {"worker": "replicas", "client": "clients"}

_OPEN = f"SELECT 1 FROM job_task WHERE state IN ({OPEN}) LIMIT 1"
_UNSUCCESSFUL = f"SELECT count(*) FROM job_task WHERE state <> {SUCCESS}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """
    ``jobs`` of one task for each of ``workers``, each of which has ``slots``.

    ``reuse_child``: as analyzers have it; peers isolate nothing.
    """

    jobs: int
    workers: int
    slots: int
    runs: int
    reuse_child: bool = True


def measure(found: Testbed, plan: Plan) -> Result:
    """
    Run the jobs again and again on one started engine.

    Raises:
        AssayError: A task did not succeed, or not in time.
    """
    found.start("api", *ENGINE)
    found.start_workers(plan.workers, slots=plan.slots, reuse_child=plan.reuse_child)
    submitters = found.start_submitters(CLIENTS)
    with found.client() as client:
        tell(f"uploading {plan.jobs} samples")
        samples = upload(client, plan.jobs)
    # The first jobs open connections, import modules and fill caches.
    run_jobs(found, submitters, samples[: CLIENTS * 5], workers=plan.workers)
    runs = [_run(found, submitters, samples, plan, number) for number in _to(plan)]
    return Result(
        benchmark="fanout",
        parameters={
            "jobs": plan.jobs,
            "workers": plan.workers,
            "slots": plan.slots,
            "clients": CLIENTS,
            "runs": plan.runs,
        },
        runs=runs,
    )


def _to(plan: Plan) -> range:
    return range(1, plan.runs + 1)


def upload(client: Client, count: int) -> list[str]:
    """Upload small samples, each another, and return their hashes."""
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
        path = Path(folder) / "sample"
        samples = []
        for number in range(count):
            # A kilobyte of text, each another.
            path.write_text(hashlib.sha256(str(number).encode()).hexdigest() * 16)
            samples.append(client.upload(path))
    return samples


def _run(
    found: Testbed,
    submitters: Sequence[Submitter],
    samples: Sequence[str],
    plan: Plan,
    number: int,
) -> Figures:
    tell(f"run {number} of {plan.runs}: {plan.jobs} jobs, then {LONE_JOBS} alone")
    tasks = plan.jobs * plan.workers
    before = cpu_seconds(found.pids)
    seconds = run_jobs(found, submitters, samples, workers=plan.workers)
    after = cpu_seconds(found.pids)
    used = _by_part({name: after[name] - before[name] for name in after})
    lone = [
        run_jobs(found, submitters[:1], [sample], workers=plan.workers)
        for sample in itertools.islice(itertools.cycle(samples), LONE_JOBS)
    ]
    engine = sum(used[name] for name in ENGINE)
    peaks = _by_part(peak_rss_mib(found.pids), largest=True)
    return {
        "tasks_per_second": tasks / seconds,
        "seconds": seconds,
        **milliseconds("lone_job", lone),
        "cpu_ms_per_task": sum(used.values()) * 1000 / tasks,
        "engine_cpu_ms_per_task": engine * 1000 / tasks,
        "api_cpu_ms_per_job": used["api"] * 1000 / plan.jobs,
        **{f"{name}_cpu_ms_per_task": x * 1000 / tasks for name, x in used.items()},
        **{f"{name}_peak_rss_mib": peak for name, peak in peaks.items()},
    }


def run_jobs(
    found: Testbed,
    submitters: Sequence[Submitter],
    samples: Sequence[str],
    *,
    workers: int,
) -> float:
    """Return the seconds from the first request to the last final row."""
    began = time.monotonic()
    for first, submitter in enumerate(submitters):
        submitter.ask(samples[first :: len(submitters)])
    tasks = sum(submitter.wait() for submitter in submitters)
    wait_until(
        lambda: found.sql.execute(_OPEN).fetchone() is None,
        what=f"the tasks of {len(samples)} jobs",
        seconds=_SPARE_SECONDS + len(samples) * workers * _SECONDS_PER_TASK,
        every_seconds=0.002 if len(samples) == 1 else 0.02,
    )
    seconds = time.monotonic() - began
    wrong = found.count(_UNSUCCESSFUL) or tasks - len(samples) * workers
    if wrong:
        raise AssayError(f"{wrong} tasks more or less than expected succeeded")
    return seconds


def _by_part(of: dict[str, float], *, largest: bool = False) -> dict[str, float]:
    """Join the replicas of all workers into one part, and all clients."""
    parts: dict[str, list[float]] = {}
    for name, value in of.items():
        first, *more = name.split()
        parts.setdefault(_JOINED.get(first, first) if more else name, []).append(value)
    return {
        part: max(values) if largest else sum(values) for part, values in parts.items()
    }
