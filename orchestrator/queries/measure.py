"""
Reads everything that ``/metrics`` tells, in a handful of queries of bounded cost.

No query walks history, nor a long backlog: what is open is counted in partial indexes
up to a bound, and above it derived from what was enqueued and what ended. It changes
nothing; how the numbers are written is ``api/routes/metrics.py``'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from orchestrator.contracts.foreign import ForeignQueue
from orchestrator.db import counters, queues, stream
from orchestrator.db.counters import TASKS_ENDED, TASKS_ENQUEUED, Series
from orchestrator.db.service_clock import get_correction
from orchestrator.db.states import ENQUEUED, EXECUTING, OPEN
from orchestrator.db.stream import Stream
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.limits import Limits
from orchestrator.domain.window import PACE, window
from orchestrator.queries.aside import Aside, list_aside

#: Tasks of a worker's backlog that a scrape counts one by one. A backlog that is longer
#: is derived from the counters, so that its length costs nothing.
BACKLOG_COUNTED_MAX = 1_000

#: Published tasks of a worker that a scrape counts. The window keeps those of replicas
#: far below; only holders that speak HTTP know no window.
PUBLISHED_COUNTED_MAX = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerMeasures:
    """
    One worker that is not deleted, as it stands.

    ``backlog``: enqueued and not published. ``published``: at the broker or in a
    replica's hands, of which ``executing`` have started. ``window``: at most so many
    are published. ``oldest_enqueued_at``: of its open tasks, ``None`` without one.
    ``aside``: those of its live replicas that take no work.
    """

    short_name: str
    is_paused: bool
    replicas: int
    slots: int
    window: int
    backlog: int
    published: int
    executing: int
    oldest_enqueued_at: datetime | None
    poisoned: int
    aside: Sequence[Aside]


@dataclass(frozen=True, kw_only=True, slots=True)
class Measures:
    """
    What a scrape found; ``counts`` also has the workers that were deleted.

    ``jumps``: of the database's clock; ``correction``: what ``at`` is ahead of it.
    """

    at: datetime
    stream: Stream
    jumps: int
    correction: timedelta
    workers: tuple[WorkerMeasures, ...]
    foreign: tuple[ForeignQueue, ...]
    counts: Mapping[Series, float]


def measure(tx: Transaction, *, limits: Limits) -> Measures:
    """
    Return how things stand and what was counted.

    Raises:
        OperationalError: The database is away; safe to retry.
    """
    counts = counters.read(tx)
    poisoned = _poisoned(tx)
    rows = tx.connection.execute(
        _WORKERS,
        {
            "alive_after": tx.now - limits.lease,
            "finished_after": tx.now - PACE,
            "window_max": limits.window_max,
            "backlog_max": BACKLOG_COUNTED_MAX,
            "published_max": PUBLISHED_COUNTED_MAX,
        },
    ).all()
    correction, clock = get_correction(tx.connection)
    aside = list_aside(tx, [row.id for row in rows], lease=limits.lease)
    return Measures(
        at=tx.now,
        jumps=correction.epoch,
        correction=correction.left_at(clock),
        stream=stream.get_stream(tx),
        workers=tuple(
            _worker(
                row,
                counts,
                limits=limits,
                poisoned=poisoned.get(row.id, 0),
                aside=aside.get(row.id, ()),
            )
            for row in rows
            if not row.is_deleted
        ),
        foreign=tuple(queues.list_foreign(tx)),
        counts=_named(counts, {str(row.id): row.short_name for row in rows}),
    )


def _worker(
    row: Row[Any],
    counts: Mapping[Series, float],
    *,
    limits: Limits,
    poisoned: int,
    aside: Sequence[Aside],
) -> WorkerMeasures:
    slots = 0 if row.is_paused else row.slots
    return WorkerMeasures(
        short_name=row.short_name,
        is_paused=row.is_paused,
        replicas=row.replicas,
        slots=row.slots,
        window=window(
            slots=slots,
            finished=row.finished,
            most=limits.window_max,
            cap=row.window_cap,
        ),
        backlog=_backlog(row, counts),
        published=row.published,
        executing=row.executing,
        oldest_enqueued_at=row.oldest_enqueued_at,
        poisoned=poisoned,
        aside=aside,
    )


def _backlog(row: Row[Any], counts: Mapping[Series, float]) -> int:
    if row.backlog < BACKLOG_COUNTED_MAX:
        return int(row.backlog)
    worker = ("worker", str(row.id))
    open_tasks = sum(
        value if name == TASKS_ENQUEUED.name else -value
        for (name, labels), value in counts.items()
        if name in {TASKS_ENQUEUED.name, TASKS_ENDED.name} and worker in labels
    )
    return max(int(open_tasks - row.published), BACKLOG_COUNTED_MAX)


def _named(
    counts: Mapping[Series, float], names: Mapping[str, str]
) -> dict[Series, float]:
    """Put short names in the place of ids, which only counting needs."""
    return {
        (name, tuple((key, names.get(value, value)) for key, value in labels)): total
        for (name, labels), total in counts.items()
    }


def _poisoned(tx: Transaction) -> dict[UUID, int]:
    rows = tx.connection.execute(
        text(
            "SELECT p.worker_id, count(*) AS samples FROM poison p"
            " JOIN worker w ON w.id = p.worker_id AND w.version = p.version"
            " WHERE p.poisoned_at IS NOT NULL AND p.cleared_at IS NULL"
            " GROUP BY p.worker_id"
        )
    )
    return {row.worker_id: row.samples for row in rows}


# Each ORDER BY is that of a partial index: without it the planner may believe that a
# scan of the table meets enough open tasks early, and wade through history for them.
_WORKERS = text(
    f"""
    SELECT w.id, w.short_name, w.window_cap,
           w.paused_at IS NOT NULL AS is_paused,
           w.deleted_at IS NOT NULL AS is_deleted,
           home.replicas, home.slots, waiting.backlog,
           flight.published, flight.executing, pace.finished,
           (SELECT t.enqueued_at FROM job_task t
             WHERE t.worker_id = w.id AND t.state IN ({OPEN})
             ORDER BY t.enqueued_at LIMIT 1) AS oldest_enqueued_at
      FROM worker w,
           LATERAL (SELECT count(*) AS replicas,
                           coalesce(sum(slots) FILTER (WHERE draining_at IS NULL), 0)
                           AS slots
                      FROM replica r
                     WHERE r.worker_id = w.id AND r.seen_at >= :alive_after
                       AND NOT r.leaving) home,
           LATERAL (SELECT count(*) AS backlog
                      FROM (SELECT 1 FROM job_task t
                             WHERE t.worker_id = w.id AND t.state = {ENQUEUED}
                               AND t.published_at IS NULL
                             ORDER BY t.submitter_id, t.order_at
                             LIMIT :backlog_max) t) waiting,
           LATERAL (SELECT count(*) AS published,
                           count(*) FILTER (WHERE state = {EXECUTING}) AS executing
                      FROM (SELECT t.state FROM job_task t
                             WHERE t.worker_id = w.id AND t.published_at IS NOT NULL
                               AND t.state IN ({OPEN})
                             ORDER BY t.published_at
                             LIMIT :published_max) t) flight,
           LATERAL (SELECT count(*) AS finished
                      FROM (SELECT 1 FROM job_task t
                             WHERE t.worker_id = w.id AND t.ended_at > :finished_after
                             ORDER BY t.ended_at LIMIT :window_max) t) pace
    """
)
