"""
``assay bench executing``: how soon a row says that its analysis runs.

From the moment in which the analyzer begins, by its own clock, until the row leaves
``enqueued``, by the database's: here both are one machine's. Analyses are long enough
to be reported when they begin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.bench.fanout import CLIENTS, ENGINE, run_jobs, upload
from orchestrator.bench.submitters import Submitter
from orchestrator.bench.summary import Figures, Result, percentile
from orchestrator.bench.testbed import Testbed
from orchestrator.db.states import ENQUEUED
from orchestrator.terminal.output import tell

#: Together some hundred tasks a second, where the machine can.
_WORKERS = 4
_SLOTS = 10
_ANALYSIS_SECONDS = 0.35

_WATCH = f"""
    CREATE TABLE bench_left_queue (task_id uuid, at timestamptz);
    CREATE FUNCTION bench_note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO bench_left_queue VALUES (NEW.id, clock_timestamp());
        RETURN NULL;
    END $$;
    CREATE TRIGGER bench_note AFTER UPDATE ON job_task FOR EACH ROW
        WHEN (OLD.state = {ENQUEUED} AND NEW.state <> {ENQUEUED})
        EXECUTE FUNCTION bench_note();
"""
_TOOK = """
    SELECT extract(epoch FROM l.at) - (a.result->>'began')::float8
      FROM bench_left_queue l
      JOIN task_analysis ta ON ta.task_id = l.task_id
      JOIN analysis a ON a.id = ta.analysis_id
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """``tasks`` in each run."""

    tasks: int
    runs: int


def measure(found: Testbed, plan: Plan) -> Result:
    """Run tasks that take a while, and compare the two clocks' readings."""
    found.start("api", *ENGINE)
    found.start_workers(_WORKERS, slots=_SLOTS, seconds=_ANALYSIS_SECONDS)
    found.sql.execute(_WATCH)
    submitters = found.start_submitters(CLIENTS)
    runs = [_run(found, submitters, plan, number) for number in range(1, plan.runs + 1)]
    return Result(
        benchmark="executing",
        parameters={"tasks": plan.tasks, "slots": _WORKERS * _SLOTS, "runs": plan.runs},
        runs=runs,
    )


def _run(
    found: Testbed, submitters: Sequence[Submitter], plan: Plan, number: int
) -> Figures:
    tell(f"run {number} of {plan.runs}: {plan.tasks} tasks of {_ANALYSIS_SECONDS} s")
    with found.client() as client:
        samples = upload(client, plan.tasks // _WORKERS)
    found.sql.execute("TRUNCATE bench_left_queue")
    seconds = run_jobs(found, submitters, samples, workers=_WORKERS)
    took = [float(row[0]) for row in found.sql.execute(_TOOK)]
    return {
        "tasks_per_second": plan.tasks / seconds,
        "executing_p50_ms": percentile(took, 0.5) * 1000,
        "executing_p99_ms": percentile(took, 0.99) * 1000,
    }
