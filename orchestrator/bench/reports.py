"""
``assay bench reports``: how many reports a second one consumer applies.

The tasks are in the database and their reports in the broker before it starts. Counted
is what the rows say, from the first batch to the last.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from uuid_utils.compat import uuid7

from orchestrator.bench.processes import cpu_seconds, peak_rss_mib
from orchestrator.bench.rows import Rows, add_rows
from orchestrator.bench.summary import Figures, Result
from orchestrator.bench.testbed import Testbed, wait_until
from orchestrator.contracts.report import Report, ReportedAnalysis
from orchestrator.contracts.signature import body_signature
from orchestrator.contracts.wire import SIGNATURE_HEADER
from orchestrator.db.states import OPEN, SUCCESS
from orchestrator.domain.errors import AssayError
from orchestrator.messaging.publisher import Publisher
from orchestrator.terminal.output import tell

_WORKERS = 8

_SPARE_SECONDS = 60
_SECONDS_PER_REPORT = 0.01

_OPEN = f"SELECT 1 FROM job_task WHERE state IN ({OPEN}) LIMIT 1"
_BEGUN = "SELECT 1 FROM job_task WHERE ended_at IS NOT NULL LIMIT 1"
_TASKS = "SELECT t.id, w.short_name FROM job_task t JOIN worker w ON w.id = t.worker_id"

# A task's end is the time of its batch's transaction: from the first to the last of
# these is how long all batches but the last took.
_RATE = f"""
    WITH batch AS (SELECT ended_at, count(*) AS size FROM job_task
                    WHERE state = {SUCCESS} GROUP BY ended_at)
    SELECT sum(size) - (SELECT size FROM batch ORDER BY ended_at DESC LIMIT 1),
           extract(epoch FROM max(ended_at) - min(ended_at)), count(*), sum(size)
      FROM batch
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """``reports``: how many wait when the consumer starts, in each run."""

    reports: int
    runs: int


def measure(found: Testbed, plan: Plan) -> Result:
    """
    Let a consumer apply the reports, anew in each run.

    Raises:
        AssayError: Not every report became a success, or not in time.
    """
    runs = []
    for number in range(1, plan.runs + 1):
        tell(f"run {number} of {plan.runs}: writing {plan.reports} tasks and reports")
        _fill(found, plan.reports)
        runs.append(_run(found, plan.reports))
        found.stop("consume")
        found.sql.execute("TRUNCATE job, job_task, sample CASCADE")
    return Result(
        benchmark="reports",
        parameters={"reports": plan.reports, "runs": plan.runs},
        runs=runs,
    )


def _fill(found: Testbed, reports: int) -> None:
    workers = found.enrol(_WORKERS)
    add_rows(found.sql, Rows(tasks=reports, workers=workers, is_published=True))
    publisher = Publisher(found.broker_url)
    for task_id, worker in found.sql.execute(_TASKS):
        body = _report(found, task_id, worker)
        secret = found.keys.enrolment_secret(worker, 1)
        headers = {SIGNATURE_HEADER: body_signature(secret, body)}
        publisher.publish_report_body(body, headers)
    publisher.close()


def _report(found: Testbed, task_id: UUID, worker: str) -> bytes:
    report = Report(
        report_id=uuid7(),
        kind="success",
        task_id=task_id,
        attempt=1,
        token=found.keys.attempt_token(task_id, 1, worker),
        worker=worker,
        worker_version="1",
        replica=f"{worker}-00000000@bench",
        analysis=ReportedAnalysis(score=-1),
    )
    return report.model_dump_json().encode()


def _run(found: Testbed, reports: int) -> Figures:
    seconds = _SPARE_SECONDS + reports * _SECONDS_PER_REPORT
    found.start("consume")
    _wait(found, _BEGUN, is_there=True, seconds=_SPARE_SECONDS)
    before = cpu_seconds(found.pids)
    counted_from = found.count(f"SELECT count(*) FROM job_task WHERE state = {SUCCESS}")
    _wait(found, _OPEN, is_there=False, seconds=seconds)
    after = cpu_seconds(found.pids)
    applied, took, batches, total = found.sql.execute(_RATE).fetchone() or (0, 0, 0, 0)
    if total != reports or batches < 2:  # noqa: PLR2004  (one batch takes no time)
        raise AssayError(
            f"{total} of {reports} reports succeeded, in {batches} batches; it takes"
            " two batches to measure: ask for more reports"
        )
    rest = max(1, reports - counted_from)
    return {
        "reports_per_second": float(applied / took),
        "consume_cpu_ms_per_report": (after["consume"] - before["consume"])
        * 1e3
        / rest,
        "postgres_cpu_ms_per_report": (after["postgres"] - before["postgres"])
        * 1e3
        / rest,
        "consume_peak_rss_mib": peak_rss_mib(found.pids)["consume"],
        "batches": float(batches),
    }


def _wait(found: Testbed, query: str, *, is_there: bool, seconds: float) -> None:
    wait_until(
        lambda: (found.sql.execute(query.encode()).fetchone() is not None) is is_there,
        what="the consumer",
        seconds=seconds,
        every_seconds=0.02,
    )
