"""
``/metrics``: what was measured, as Prometheus reads it.

It needs no key, as ``/health``: it tells numbers and the names of workers, nothing of
samples. Every process of the API tells the same, since all of it is in the database;
``docs/operations/metrics.md`` says what each metric means.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from fastapi import APIRouter, Request, Response
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from typing_extensions import override

from orchestrator.api.deps import ServicesDep
from orchestrator.db import counters
from orchestrator.db.counters import Counted, Measured
from orchestrator.domain.values import TaskState
from orchestrator.queries.measure import Measures, WorkerMeasures, measure

router = APIRouter(tags=["health"])

_PREFIX = "assay_"

_WORKER_GAUGES: Sequence[tuple[str, str, Callable[[WorkerMeasures], float]]] = (
    (
        "tasks_published",
        "Tasks at the broker or in a replica's hands",
        lambda measures: measures.published,
    ),
    (
        "window_tasks",
        "Most tasks that may be published now; 0 without a live replica",
        lambda measures: measures.window,
    ),
    (
        "live_replicas",
        "Replicas heard within a lease that are not leaving",
        lambda measures: measures.replicas,
    ),
    (
        "live_slots",
        "Analyses that the live replicas run at a time",
        lambda measures: measures.slots,
    ),
    (
        "worker_paused",
        "1 while an administrator has it paused",
        lambda measures: measures.is_paused,
    ),
    (
        "poison_samples",
        "Samples withheld from the worker's present version, which died of them",
        lambda measures: measures.poisoned,
    ),
)
_COUNTERS: Mapping[Counted, str] = {
    counters.TASKS_ENQUEUED: "Tasks created, and ended ones that were retried",
    counters.TASKS_ENDED: "Tasks that ended, by state and reason",
    counters.REPORTS: "Reports of replicas, by kind and by what they did to the task",
    counters.REPORTS_REJECTED: "Messages that were refused and changed nothing",
    counters.LOSSES: "Attempts that were lost, by reason",
    counters.PREVIOUS_RESULTS: "Analyses of earlier jobs that a verdict counted",
}
_HISTOGRAMS: Mapping[Measured, str] = {
    counters.QUEUED_SECONDS: "From the queueing of an attempt to its start",
    counters.RUN_SECONDS: "From the start of a task's last attempt to its end",
    counters.COVERAGE: "Share of a job's tasks that its verdict counted",
}

# Series that are told from the start, at 0: a rate does not see the step by which a
# series appears. Workers come before these.
_PER_WORKER: Mapping[Counted, Sequence[tuple[str, ...]]] = {
    counters.TASKS_ENQUEUED: [()],
    counters.TASKS_ENDED: [
        ("success", ""),
        ("failed", "error"),
        ("failed", "bad_result"),
        ("failed", "crashed"),
        ("failed", "out_of_memory"),
        ("failed", "unsupported"),
        ("failed", "worker_lost"),
        ("failed", "poison"),
        ("failed", "sample_missing"),
        ("timeout", "no_worker"),
        ("timeout", "queue_wait"),
        ("timeout", "run_time"),
        ("timeout", "job_time"),
        ("cancelled", "cancelled"),
        ("cancelled", "worker_disabled"),
    ],
    counters.LOSSES: [("worker_lost",), ("crashed",), ("out_of_memory",), ("error",)],
    counters.PREVIOUS_RESULTS: [("failed",), ("timeout",), ("not_run",)],
}
_REJECTED_KINDS = (
    "undecodable",
    "invalid",
    "unknown_type",
    "unknown_version",
    "unknown_task",
    "unknown_worker",
    "forged_token",
    "forged_signature",
    "forged_receipt",
    "too_many_replicas",
    "inapplicable",
)


# Not in the API's documentation: it is for Prometheus, and knows no envelope.
@router.get("/metrics", include_in_schema=False)
def metrics(request: Request, services: ServicesDep) -> Response:
    """Tell Prometheus how things stand, in the text format that it asks for."""
    with services.database.uow() as tx:
        measured = measure(tx, limits=services.engine.limits)
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(Exposition(measured)), media_type=content_type)


class Exposition(Collector):
    """The measures of one scrape as metric families."""

    def __init__(self, measures: Measures) -> None:
        self._measures = measures

    @override
    def collect(self) -> Iterator[Metric]:
        """Return every family, those without a sample included."""
        yield from self._stream()
        yield from self._time()
        yield self._open_tasks()
        yield self._oldest()
        for name, text, value in _WORKER_GAUGES:
            family = GaugeMetricFamily(_PREFIX + name, text, labels=["worker"])
            for worker in self._measures.workers:
                family.add_metric([worker.short_name], value(worker))
            yield family
        yield self._aside()
        yield self._foreign_queues()
        for counted, text in _COUNTERS.items():
            yield self._counter(counted, text)
        for measured, text in _HISTOGRAMS.items():
            yield self._histogram(measured, text)

    def _stream(self) -> Iterator[Metric]:
        stream = self._measures.stream
        for name, text, since in (
            (
                "watermark_lag_seconds",
                "How far behind the reading of reports is",
                stream.watermark.at,
            ),
            (
                "canary_age_seconds",
                "Since a canary came through the queue of reports",
                stream.canary_at,
            ),
            (
                "dispatch_age_seconds",
                "Since a dispatcher had its turn",
                stream.dispatched_at,
            ),
        ):
            yield GaugeMetricFamily(_PREFIX + name, text, value=self._age(since))

    def _time(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            f"{_PREFIX}clock_jumps",
            "Jumps of the database's clock that were taken back",
            value=self._measures.jumps,
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}time_correction_seconds",
            "How far the service's time is ahead of the database's clock",
            value=self._measures.correction.total_seconds(),
        )

    def _open_tasks(self) -> Metric:
        family = GaugeMetricFamily(
            f"{_PREFIX}tasks_open",
            "Tasks that have not ended, by state",
            labels=["worker", "state"],
        )
        for worker in self._measures.workers:
            name = worker.short_name
            enqueued = worker.backlog + worker.published - worker.executing
            family.add_metric([name, TaskState.ENQUEUED], enqueued)
            family.add_metric([name, TaskState.EXECUTING], worker.executing)
        return family

    def _oldest(self) -> Metric:
        family = GaugeMetricFamily(
            f"{_PREFIX}oldest_open_task_age_seconds",
            "Since the oldest task that has not ended was enqueued; 0 without one",
            labels=["worker"],
        )
        for worker in self._measures.workers:
            since = worker.oldest_enqueued_at
            age = self._age(since) if since else 0
            family.add_metric([worker.short_name], age)
        return family

    def _aside(self) -> Metric:
        family = GaugeMetricFamily(
            f"{_PREFIX}replica_aside_seconds",
            "Since a live replica stands aside, and why",
            labels=["worker", "replica", "why"],
        )
        for worker in self._measures.workers:
            for one in worker.aside:
                labels = [worker.short_name, one.replica, one.why]
                family.add_metric(labels, self._age(one.since))
        return family

    def _foreign_queues(self) -> Metric:
        family = GaugeMetricFamily(
            f"{_PREFIX}foreign_queue",
            "1 for each queue or exchange in the broker that is none of ours",
            labels=["queue", "wanted", "present", "remedy"],
        )
        for queue in self._measures.foreign:
            family.add_metric(
                [queue.name, queue.wanted, queue.present, queue.remedy], 1
            )
        return family

    def _age(self, since: datetime) -> float:
        return max(0.0, (self._measures.at - since).total_seconds())

    def _counter(self, counted: Counted, text: str) -> Metric:
        family = CounterMetricFamily(
            _PREFIX + counted.name, text, labels=counted.labels
        )
        values = dict.fromkeys(self._known(counted), 0.0)
        values.update(self._series(counted))
        for labels, value in sorted(values.items()):
            family.add_metric(labels, value)
        return family

    def _known(self, counted: Counted) -> Iterator[tuple[str, ...]]:
        if counted is counters.REPORTS_REJECTED:
            yield from ((kind,) for kind in _REJECTED_KINDS)
        for worker in self._measures.workers:
            name = worker.short_name
            yield from ((name, *rest) for rest in _PER_WORKER.get(counted, ()))

    def _histogram(self, measured: Measured, text: str) -> Metric:
        family = HistogramMetricFamily(
            _PREFIX + measured.name, text, labels=measured.labels
        )
        sums = dict(self._series(measured.sum))
        buckets: dict[tuple[str, ...], list[float]] = defaultdict(
            lambda: [0.0] * len(measured.bound_labels)
        )
        if not measured.labels:
            # The one series is told from the start.
            buckets[()] = [0.0] * len(measured.bound_labels)
        for (*labels, bound), value in self._series(measured.bucket):
            # One of an older version, with other bounds, counts for the next one.
            place = bisect_left(measured.bounds, float(bound))
            buckets[tuple(labels)][place] += value
        for key, values in sorted(buckets.items()):
            family.add_metric(
                key, _cumulated(measured, values), sum_value=sums.get(key, 0.0)
            )
        return family

    def _series(self, counted: Counted) -> Iterator[tuple[tuple[str, ...], float]]:
        """Yield the series of a counter: its labels in their order, and its value."""
        for (name, labels), value in self._measures.counts.items():
            if name == counted.name:
                found = dict(labels)
                yield tuple(found[label] for label in counted.labels), value


def _cumulated(measured: Measured, values: Sequence[float]) -> list[tuple[str, float]]:
    total = 0.0
    buckets = []
    for bound, value in zip(measured.bound_labels, values, strict=True):
        total += value
        buckets.append((bound, total))
    return buckets
