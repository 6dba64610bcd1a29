"""
``assay bench sweep``: how long many expiries take among many more open tasks.

The real beat, maintenance and consumer run; tasks become due all at once, and the time
ends when the last of them is final. A tick and the way of its canary are part of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from orchestrator.bench.processes import cpu_seconds
from orchestrator.bench.rows import Rows, add_rows
from orchestrator.bench.summary import Figures, Result
from orchestrator.bench.testbed import Testbed, wait_until
from orchestrator.db.states import ENQUEUED, OPEN
from orchestrator.terminal.output import tell

_WORKERS = 8

#: How long nothing is due, to see what looking alone costs.
_IDLE_SECONDS = 5

_SPARE_SECONDS = 60
_SECONDS_PER_EXPIRY = 0.02

_READ = "SELECT 1 FROM stream WHERE watermark_at > now() - interval '2 seconds'"
_DUE = f"""
    SELECT 1 FROM job_task
     WHERE state IN ({OPEN}) AND due_at <= now() LIMIT 1
"""

# Whole jobs, as clocks run out in practice: the tasks of a job were queued together.
_MAKE_DUE = f"""
    UPDATE job_task SET due_at = now()
     WHERE job_id IN (SELECT id FROM job WHERE state = {ENQUEUED} ORDER BY id LIMIT %s)
       AND state = {ENQUEUED}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """``expiries`` in each run, among ``open_tasks`` that are not due."""

    open_tasks: int
    expiries: int
    runs: int


def measure(found: Testbed, plan: Plan) -> Result:
    """
    Let tasks expire, others in each run.

    Raises:
        AssayError: Some did not in time.
    """
    tell(f"writing {plan.open_tasks:,} open tasks")
    tasks = plan.open_tasks + plan.expiries * plan.runs
    add_rows(found.sql, Rows(tasks=tasks, workers=found.enrol(_WORKERS)))
    found.start("consume", "beat", "maintain")
    wait_until(lambda: _is_there(found, _READ), what="a tick", seconds=_SPARE_SECONDS)
    idle = _idle(found)
    runs = [{**_run(found, plan, number), **idle} for number in range(plan.runs)]
    return Result(
        benchmark="sweep",
        parameters={
            "open": plan.open_tasks,
            "expiries": plan.expiries,
            "runs": plan.runs,
        },
        runs=runs,
    )


def _idle(found: Testbed) -> Figures:
    tell(f"nothing is due for {_IDLE_SECONDS} s")
    before = cpu_seconds(found.pids)
    time.sleep(_IDLE_SECONDS)
    after = cpu_seconds(found.pids)
    return {
        f"idle_{name}_cpu_percent": (after[name] - before[name]) / _IDLE_SECONDS * 100
        for name in ("maintain", "postgres")
    }


def _run(found: Testbed, plan: Plan, number: int) -> Figures:
    tell(f"run {number + 1} of {plan.runs}: {plan.expiries:,} are due now")
    before = cpu_seconds(found.pids)
    jobs = -(-plan.expiries // _WORKERS)
    expired = found.sql.execute(_MAKE_DUE, [jobs]).rowcount
    began = time.monotonic()
    wait_until(
        lambda: not _is_there(found, _DUE),
        what=f"{expired} expiries",
        seconds=_SPARE_SECONDS + expired * _SECONDS_PER_EXPIRY,
        every_seconds=0.02,
    )
    seconds = time.monotonic() - began
    after = cpu_seconds(found.pids)
    return {
        "sweep_seconds": seconds,
        "expiries_per_second": expired / seconds,
        "maintain_cpu_ms_per_expiry": _used(before, after, "maintain") / expired,
        "postgres_cpu_ms_per_expiry": _used(before, after, "postgres") / expired,
    }


def _used(before: dict[str, float], after: dict[str, float], name: str) -> float:
    return (after[name] - before[name]) * 1000


def _is_there(found: Testbed, query: str) -> bool:
    return found.sql.execute(query.encode()).fetchone() is not None
