"""
``/metrics``: valid, without a key, and every number moves when the thing happens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, text

from orchestrator.api.app import create_app
from orchestrator.api.deps import Services
from orchestrator.catalog.workers import pause_worker
from orchestrator.contracts.foreign import ForeignQueue
from orchestrator.contracts.report import ReportedAnalysis
from orchestrator.db import counters
from orchestrator.db.counters import REPORTS_REJECTED, TASKS_ENQUEUED, Tally
from orchestrator.db.queues import replace_foreign
from orchestrator.db.unit_of_work import Database
from orchestrator.domain.values import Actor
from orchestrator.flow.cancel import cancel_job
from orchestrator.flow.retry import retry_job
from orchestrator.queries.measure import BACKLOG_COUNTED_MAX
from orchestrator.store import SampleStore
from tests.fixtures.api import serve
from tests.fixtures.engine import Rig, raw
from tests.fixtures.patience import be_patient

OPERATOR = Actor("test")

Scraped = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Prometheus:
    """Scrapes the API on the rig's database, without a key."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def scrape(self) -> Scraped:
        answer = self.client.get("/metrics")
        assert answer.status_code == 200, answer.text
        families = text_string_to_metric_families(answer.text)
        samples = [sample for family in families for sample in family.samples]
        found = {(s.name, tuple(sorted(s.labels.items()))): s.value for s in samples}
        assert len(found) == len(samples), "a series is told twice"
        return found

    def value(self, name: str, **labels: str) -> float:
        return self.scrape()[f"assay_{name}", tuple(sorted(labels.items()))]


@pytest.fixture
def prometheus(rig: Rig, tmp_path: Path) -> Iterator[Prometheus]:
    services = Services(
        database=rig.database,
        store=SampleStore.from_url(str(tmp_path)),
        engine=rig.engine,
    )
    with serve(create_app(services)) as client:
        yield Prometheus(client)


def finish(rig: Rig, content: bytes, **report: object) -> None:
    """Have alpha analyse a sample."""
    rig.tell(rig.task(rig.job(content)), "success", **report)


# The form.


def test_a_scrape_is_valid_in_both_formats(rig: Rig, prometheus: Prometheus):
    rig.worker("alpha")
    finish(rig, b"one")

    plain = prometheus.client.get("/metrics")
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    open_metrics = prometheus.client.get("/metrics", headers=accept)

    assert plain.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert open_metrics.headers["Content-Type"].startswith(accept["Accept"])
    strict = list(openmetrics.text_string_to_metric_families(open_metrics.text))
    loose = list(text_string_to_metric_families(plain.text))
    assert len(strict) == len(loose) > 10
    for family in strict:
        assert family.name.startswith("assay_")
        assert family.documentation
        for sample in family.samples:
            assert math.isfinite(sample.value)
            assert sample.value >= 0
            if family.type == "counter":
                assert sample.name.endswith("_total")


def test_a_scrape_of_an_empty_service_has_every_family(prometheus: Prometheus):
    names = {name for name, _ in prometheus.scrape()}

    assert "assay_watermark_lag_seconds" in names
    assert "assay_reports_rejected_total" in names
    assert "assay_verdict_coverage_ratio_bucket" in names
    page = prometheus.client.get("/metrics").text
    for family in ("tasks_open", "live_replicas", "task_run_seconds"):
        assert f"# TYPE assay_{family} " in page


def test_without_a_database_a_scrape_fails_and_says_so(rig: Rig, tmp_path: Path):
    away = Database("postgresql+psycopg://nobody@127.0.0.1:1/none")
    store = SampleStore.from_url(str(tmp_path))
    services = Services(database=away, store=store, engine=rig.engine)

    with serve(create_app(services)) as client:
        answer = client.get("/metrics")

    assert answer.status_code == 503


def test_what_may_happen_is_told_before_it_did(rig: Rig, prometheus: Prometheus):
    """A rate does not see the step by which a series appears."""
    rig.worker("alpha")

    assert prometheus.value("losses_total", worker="alpha", reason="crashed") == 0
    assert prometheus.value("reports_rejected_total", kind="forged_token") == 0
    ended = {"worker": "alpha", "state": "timeout", "reason": "queue_wait"}
    assert prometheus.value("tasks_ended_total", **ended) == 0


def test_a_replica_that_stands_aside_is_told_with_why(rig: Rig, prometheus: Prometheus):
    rig.worker("alpha")
    rig.heartbeat("alpha-7@host", aside="/tmp is full")
    rig.execute("UPDATE replica SET aside_at = aside_at - interval '90 seconds'")

    seconds = prometheus.value(
        "replica_aside_seconds",
        worker="alpha",
        replica="alpha-7@host",
        why="/tmp is full",
    )

    assert 90 <= seconds < 120


def test_a_queue_that_is_none_of_ours_is_told_with_what_mends_it(
    rig: Rig, prometheus: Prometheus
):
    queue = ForeignQueue(
        name="worker.alpha",
        wanted="x-queue-type=quorum",
        present="x-queue-type=classic",
        remedy="rabbitmqctl -p / delete_queue worker.alpha",
    )
    with rig.database.uow() as tx:
        replace_foreign(tx, [queue])

    told = prometheus.value(
        "foreign_queue",
        queue=queue.name,
        wanted=queue.wanted,
        present=queue.present,
        remedy=queue.remedy,
    )

    assert told == 1


# Tasks.


def test_open_tasks_by_worker_and_state(rig: Rig, prometheus: Prometheus):
    rig.worker("alpha", slots=1)
    rig.worker("beta", slots=1)
    jobs = [rig.job(f"{n}".encode()) for n in range(4)]
    rig.dispatch()
    rig.tell(rig.task(jobs[0]), "executing")

    now = prometheus.scrape()

    def of(name: str, **labels: str) -> float:
        return now[f"assay_{name}", tuple(sorted(labels.items()))]

    assert of("tasks_open", worker="alpha", state="executing") == 1
    assert of("tasks_open", worker="alpha", state="enqueued") == 3
    assert of("tasks_open", worker="beta", state="executing") == 0
    assert of("tasks_open", worker="beta", state="enqueued") == 4
    assert of("tasks_published", worker="alpha") == 2
    assert of("window_tasks", worker="alpha") == 2
    assert of("tasks_enqueued_total", worker="alpha") == 4


def test_a_window_needs_a_live_replica_and_grows_with_the_pace(
    rig: Rig, prometheus: Prometheus
):
    rig.worker("alpha", slots=3)
    assert prometheus.value("window_tasks", worker="alpha") == 6
    finish(rig, b"one")
    # What ended in the last second adds to it; the scrape may come after that.
    assert prometheus.value("window_tasks", worker="alpha") in {6, 7}

    with rig.database.uow() as tx:
        pause_worker(tx, "alpha", actor=OPERATOR)

    assert prometheus.value("window_tasks", worker="alpha") == 0
    assert prometheus.value("worker_paused", worker="alpha") == 1
    assert prometheus.value("live_slots", worker="alpha") == 3


def test_a_long_backlog_is_derived_from_what_was_counted(
    rig: Rig, prometheus: Prometheus
):
    rig.worker("alpha")
    first = rig.job(b"one")
    rig.tell(rig.task(rig.job(b"two")), "success")
    copies = BACKLOG_COUNTED_MAX + 49
    _copy_tasks(rig, first, copies)
    with rig.database.uow() as tx:
        tally = Tally()
        worker = rig.execute("SELECT id FROM worker WHERE short_name = 'alpha'")[0].id
        tally.add(TASKS_ENQUEUED, worker, value=copies)
        counters.append(tx, tally)

    enqueued = prometheus.value("tasks_open", worker="alpha", state="enqueued")

    assert enqueued == copies + 1


def test_a_short_backlog_is_counted_whatever_the_counters_say(
    rig: Rig, prometheus: Prometheus
):
    rig.worker("alpha")
    rig.job(b"one")
    rig.execute("DELETE FROM counter")

    assert prometheus.value("tasks_open", worker="alpha", state="enqueued") == 1


def test_the_age_of_the_oldest_open_task(rig: Rig, prometheus: Prometheus):
    rig.worker("alpha")
    assert prometheus.value("oldest_open_task_age_seconds", worker="alpha") == 0
    rig.job(b"old")
    rig.age(300)
    # A priority makes a task come early, not old.
    rig.job(b"new", priority=9)

    age = prometheus.value("oldest_open_task_age_seconds", worker="alpha")

    assert 300 <= age < 1_000


def test_every_ending_counts_with_its_reason(rig: Rig, prometheus: Prometheus):
    rig.worker("alpha")
    rig.tell(rig.task(rig.job(b"good")), "success")
    rig.tell(rig.task(rig.job(b"bad")), "failed", reason="bad_result")
    slow = rig.job(b"slow")
    rig.tell(rig.task(slow), "executing")
    rig.tell(rig.task(slow), "timed_out")
    with rig.database.uow() as tx:
        cancel_job(tx, rig.job(b"unwanted"), engine=rig.engine, actor=OPERATOR)
    late = rig.job(b"late")
    rig.age(43_201)
    rig.canary()
    assert rig.expire() == 1

    assert rig.task(late).reason == "queue_wait"
    for state, reason in (
        ("success", ""),
        ("failed", "bad_result"),
        ("timeout", "run_time"),
        ("timeout", "queue_wait"),
        ("cancelled", "cancelled"),
    ):
        ended = {"worker": "alpha", "state": state, "reason": reason}
        assert prometheus.value("tasks_ended_total", **ended) == 1, ended


def test_a_retried_task_is_enqueued_again(rig: Rig, prometheus: Prometheus):
    rig.worker("alpha")
    job = rig.job(b"bad")
    rig.tell(rig.task(job), "failed")
    with rig.database.uow() as tx:
        retry_job(tx, job, engine=rig.engine, actor=OPERATOR)

    assert prometheus.value("tasks_enqueued_total", worker="alpha") == 2
    assert prometheus.value("tasks_open", worker="alpha", state="enqueued") == 1


def test_losses_by_reason(rig: Rig, prometheus: Prometheus):
    rig.worker("alpha")
    job = rig.job(b"one")
    rig.tell(rig.task(job), "failed", reason="crashed")
    rig.tell(rig.task(job), "executing")
    rig.age(16)
    rig.canary()
    assert rig.recover() == 1

    assert prometheus.value("losses_total", worker="alpha", reason="crashed") == 1
    assert prometheus.value("losses_total", worker="alpha", reason="worker_lost") == 1


def test_times_in_the_states(rig: Rig, prometheus: Prometheus):
    rig.worker("alpha")
    job = rig.job(b"one")
    rig.age(100)
    rig.tell(rig.task(job), "executing")
    rig.age(50)
    rig.tell(rig.task(job), "success")

    now = prometheus.scrape()

    def of(name: str, **labels: str) -> float:
        key = tuple(sorted({"worker": "alpha", **labels}.items()))
        return now[f"assay_{name}", key]

    assert of("task_queued_seconds_count") == of("task_run_seconds_count") == 1
    assert of("task_queued_seconds_bucket", le="60.0") == 0
    assert of("task_queued_seconds_bucket", le="300.0") == 1
    assert of("task_run_seconds_bucket", le="30.0") == 0
    assert of("task_run_seconds_bucket", le="120.0") == 1
    assert of("task_run_seconds_bucket", le="+Inf") == 1
    assert 100 <= of("task_queued_seconds_sum") < 300
    assert 50 <= of("task_run_seconds_sum") < 120


# Replicas and reports.


def test_live_replicas_and_their_slots(rig: Rig, prometheus: Prometheus):
    rig.worker("alpha", slots=4)
    rig.heartbeat("alpha-2@host", slots=3)
    rig.heartbeat("alpha-3@host", slots=9, leaving=True)
    assert prometheus.value("live_replicas", worker="alpha") == 2
    assert prometheus.value("live_slots", worker="alpha") == 7

    rig.age(16)

    assert prometheus.value("live_replicas", worker="alpha") == 0
    assert prometheus.value("live_slots", worker="alpha") == 0


def test_reports_by_kind_and_outcome(rig: Rig, prometheus: Prometheus):
    rig.worker("alpha")
    job = rig.job(b"one")
    task = rig.task(job)
    rig.tell(task, "executing")
    rig.tell(task, "success")
    rig.tell(task, "success")
    ended = rig.task(rig.job(b"two"))
    rig.age(43_201)
    rig.canary()
    rig.expire()
    rig.tell(ended, "success")

    for kind, outcome in (
        ("executing", "start"),
        ("success", "succeed"),
        ("success", "stale"),
        ("success", "late"),
    ):
        report = {"worker": "alpha", "kind": kind, "outcome": outcome}
        assert prometheus.value("reports_total", **report) == 1, report


def test_rejected_messages_by_kind(rig: Rig, prometheus: Prometheus):
    """Whatever is refused has a series, and had it before."""
    rig.worker("alpha")
    before = prometheus.scrape()
    task = rig.task(rig.job(b"one"))
    forged = rig.report(task, "success")
    fake = rig.alive("alpha-1@host")
    rig.ingest(
        raw("{"),
        raw({"type": "gossip", "version": 1}),
        raw({"type": "report", "version": 7}),
        rig.signed("alpha", forged.body.replace(b'"token":"', b'"token":"x')),
        type(fake)(body=fake.body, headers={}, problem=None),
        type(fake)(body=b"", headers={}, problem="no body"),
    )
    rig.heartbeat("alpha-1@host")

    after = prometheus.scrape()

    moved = {
        dict(labels)["kind"]
        for (name, labels), value in after.items()
        if name == f"assay_{REPORTS_REJECTED.name}_total"
        and value == before[name, labels] + 1
    }
    assert moved == {reason.partition(":")[0] for reason in rig.rejected()}
    assert len(moved) == 6


def test_the_watermark_the_canary_and_the_dispatcher(rig: Rig, prometheus: Prometheus):
    rig.worker("alpha")
    rig.execute("UPDATE stream SET watermark_at = now() - interval '1 day'")
    rig.canary(ago=4_000)
    rig.dispatch()
    assert 4_000 <= prometheus.value("watermark_lag_seconds") < 5_000
    assert prometheus.value("canary_age_seconds") < 1_000
    assert prometheus.value("dispatch_age_seconds") < 1_000

    rig.execute(
        "UPDATE stream SET dispatched_at = now() - interval '6000 s',"
        " canary_at = now() - interval '7000 s'"
    )

    assert 6_000 <= prometheus.value("dispatch_age_seconds") < 7_000
    assert 7_000 <= prometheus.value("canary_age_seconds") < 8_000


# Poison and verdicts.


def test_poison_is_counted_while_it_stands(rig: Rig, prometheus: Prometheus):
    rig.worker("alpha", slots=4)
    job = rig.job(b"deadly")
    rig.tell(rig.task(job), "failed", reason="crashed")
    finish(rig, b"harmless")
    rig.tell(rig.task(job), "failed", reason="crashed")
    rig.tell(rig.task(job), "failed", reason="crashed")

    assert rig.task(job).reason == "poison"
    assert prometheus.value("poison_samples", worker="alpha") == 1
    ended = {"worker": "alpha", "state": "failed", "reason": "poison"}
    assert prometheus.value("tasks_ended_total", **ended) == 1

    rig.execute("UPDATE poison SET cleared_at = now()")

    assert prometheus.value("poison_samples", worker="alpha") == 0


def test_verdicts_by_coverage_and_what_is_of_an_older_one(
    rig: Rig, prometheus: Prometheus
):
    rig.worker("alpha")
    rig.worker("beta")
    first = rig.job(b"one")
    rig.tell(rig.task(first, "alpha"), "success")
    rig.tell(rig.task(first, "beta"), "failed")
    assert prometheus.value("verdict_coverage_ratio_bucket", le="0.5") == 1

    second = rig.job(b"one")
    rig.tell(rig.task(second, "alpha"), "failed")
    rig.tell(rig.task(second, "beta"), "success", analysis=ReportedAnalysis(score=70))

    assert prometheus.value("verdict_coverage_ratio_count") == 2
    assert prometheus.value("verdict_coverage_ratio_bucket", le="0.5") == 1
    assert prometheus.value("verdict_coverage_ratio_sum") == pytest.approx(1.5)
    previous = {"worker": "alpha", "why": "failed"}
    assert prometheus.value("previous_results_total", **previous) == 1


# Counters.


def test_a_transaction_that_fails_has_counted_nothing(rig: Rig, prometheus: Prometheus):
    tally = Tally()
    tally.add(REPORTS_REJECTED, "invalid")

    with suppress(ZeroDivisionError), rig.database.uow() as tx:
        counters.append(tx, tally)
        assert counters.read(tx)
        raise ZeroDivisionError

    assert prometheus.value("reports_rejected_total", kind="invalid") == 0


def test_nobody_waits_for_who_folds(rig: Rig, prometheus: Prometheus):
    """A fold leaves what is not committed yet, and whoever counts goes on."""
    rig.execute(
        "INSERT INTO counter (name, labels, value) SELECT 'reports_rejected',"
        """ '{"kind": "invalid"}', 1 FROM generate_series(1, :n)""",
        n=counters.FOLD_FROM,
    )
    tally = Tally()
    tally.add(REPORTS_REJECTED, "invalid")

    with rig.database.uow() as before, rig.database.uow() as folding:
        counters.append(before, tally)
        assert counters.fold(folding) == counters.FOLD_FROM
        with rig.database.uow() as after:
            counters.append(after, tally)

    invalid = prometheus.value("reports_rejected_total", kind="invalid")
    assert invalid == counters.FOLD_FROM + 2


def test_folding_keeps_every_sum(rig: Rig, prometheus: Prometheus):
    rig.execute(
        "INSERT INTO counter (name, labels, value) SELECT 'reports_rejected',"
        " jsonb_build_object('kind', k), 2 FROM generate_series(1, :n),"
        " unnest(ARRAY['invalid', 'unknown_task']) k",
        n=counters.FOLD_FROM,
    )
    before = prometheus.scrape()

    with rig.database.uow() as tx:
        folded = counters.fold(tx)
    with rig.database.uow() as tx:
        again = counters.fold(tx)

    assert (folded, again) == (2 * counters.FOLD_FROM, 0)
    assert rig.execute("SELECT count(*) AS n FROM counter")[0].n == 2
    assert before == {**prometheus.scrape(), **_ages(before)}
    invalid = prometheus.value("reports_rejected_total", kind="invalid")
    assert invalid == 2 * counters.FOLD_FROM


def _ages(scraped: Scraped) -> Scraped:
    """Return the series that grow by themselves."""
    return {
        key: value
        for key, value in scraped.items()
        if key[0].endswith(("_lag_seconds", "_age_seconds"))
    }


# Plans.

#: What grows with use.
_BIG = {"job", "job_task", "task_event", "analysis", "verdict", "rejected_report"}


@pytest.fixture
def long_history(rig: Rig) -> Rig:
    """Two workers, 160 000 ended tasks with an event each, and 40 000 open tasks."""
    rig.worker("alpha")
    rig.worker("beta")
    first = rig.job(b"one")
    _copy_tasks(rig, first, 80_000, ended=True)
    _copy_tasks(rig, first, 20_000)
    rig.execute(
        "INSERT INTO task_event (task_id, job_id, attempt, kind)"
        " SELECT id, job_id, 1, 'lost' FROM job_task WHERE ended_at IS NOT NULL"
    )
    rig.execute("ANALYZE")
    return rig


def test_a_scrape_reads_neither_history_nor_the_whole_backlog(
    long_history: Rig, prometheus: Prometheus
):
    most = 2 * (BACKLOG_COUNTED_MAX + long_history.engine.limits.window_max + 1)

    plans = _plans(long_history, prometheus)

    nodes = [node for plan in plans for node in _nodes(plan)]
    read = [node for node in nodes if node.get("Relation Name") in _BIG]
    assert {node["Relation Name"] for node in read} == {"job_task"}
    assert {node["Node Type"] for node in read} <= {"Index Scan", "Index Only Scan"}
    measured = [node for node in read if "Actual Rows" in node]
    rows = sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
        * node["Actual Loops"]
        for node in measured
    )
    assert BACKLOG_COUNTED_MAX < rows <= most


def _plans(rig: Rig, prometheus: Prometheus) -> list[dict[str, Any]]:
    """Return the plans of all queries of a scrape, with their values and without."""
    sent: list[tuple[str, dict[str, Any]]] = []

    def note(_conn: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        sent.append((statement, values))

    event.listen(rig.database.engine, "before_cursor_execute", note)
    prometheus.scrape()
    event.remove(rig.database.engine, "before_cursor_execute", note)
    plans = []
    with rig.database.uow() as tx:
        for statement, values in sent:
            names = {name: f"${n}" for n, name in enumerate(values, start=1)}
            generic = statement % names if values else statement
            for explained, given in (
                (f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values),
                (f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {generic}", {}),
            ):
                found = tx.connection.exec_driver_sql(explained, given)
                plans.append(found.scalar_one()[0]["Plan"])
    return plans


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


def _copy_tasks(rig: Rig, job: UUID, copies: int, *, ended: bool = False) -> None:
    """Copy a job and its tasks, as rows."""
    values = {"job": job, "copies": copies, "state": "done" if ended else "enqueued"}
    with rig.database.uow() as tx:
        be_patient(tx.connection)
        # The copies refer to what the first one does.
        tx.connection.execute(text("SET LOCAL session_replication_role = replica"))
        tx.connection.execute(_COPY_ENDED if ended else _COPY_OPEN, values)


_COPY = """
    WITH made AS (
        INSERT INTO job (id, sample_sha256, customer_id, submitter_id, state,
                         enqueued_at, due_at, ended_at)
        SELECT gen_random_uuid(), sample_sha256, customer_id, submitter_id, :state,
               enqueued_at, due_at, {ended_at}
          FROM job, generate_series(1, :copies) WHERE id = :job
        RETURNING id
    )
    INSERT INTO job_task (id, job_id, worker_id, sample_sha256, submitter_id, state,
                          order_at, enqueued_at, queued_at, due_at, ended_at)
    SELECT gen_random_uuid(), made.id, worker_id, sample_sha256, submitter_id, {state},
           order_at, enqueued_at, queued_at, {due_at}, {ended_at}
      FROM made, job_task WHERE job_id = :job
"""
_COPY_OPEN = text(_COPY.format(state="'enqueued'", due_at="due_at", ended_at="NULL"))
_COPY_ENDED = text(
    _COPY.format(
        state="'success'", due_at="NULL", ended_at="now() - interval '1 day' * random()"
    )
)
