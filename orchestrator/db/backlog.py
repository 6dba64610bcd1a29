"""
The backlog: which tasks go to the broker next, and which are there.

A task row that is enqueued and has no ``published_at`` is the outbox and the queue.
This file claims from it and gives back to it; it publishes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from orchestrator.contracts.assignment import Classification
from orchestrator.db.poison import (
    BEHIND,
    FINISHED_ONCE,
    LOSSES_OF_SAMPLE,
    POISON_DEATHS,
)
from orchestrator.db.samples import read_classification
from orchestrator.db.states import (
    ENQUEUED,
    OPEN,
)
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.retry import ALONE_AFTER_LOSSES

#: Of one submitter's backlog: what is looked at beyond what may be taken. Behind more
#: attempts that have to wait for another of their sample, the rest waits with them.
_PASSED_OVER_MAX = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """
    A worker that can take work now.

    ``slots``: of its live replicas together. ``window_cap``: an administrator's.
    ``generation``: of its enrolment.
    """

    worker_id: UUID
    short_name: str
    slots: int
    run_seconds: float | None
    window_cap: int | None
    generation: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """
    A claimed task with what its assignment needs.

    ``alone``: the attempt is to have its replica to itself.
    """

    task_id: UUID
    job_id: UUID
    customer_id: UUID
    worker_id: UUID
    attempt: int
    options: dict[str, Any]
    sample_sha256: str
    size_bytes: int
    file_name: str | None
    classification: Classification
    alone: bool


def find_desks(tx: Transaction, *, alive_after: datetime) -> list[Desk]:
    """
    Return the workers with a backlog and a live replica that is not to take nothing
    more, that are not paused.
    """
    rows = tx.connection.execute(
        text(
            f"""
            SELECT w.id, w.short_name, sum(r.slots) AS slots, w.window_cap,
                   w.generation,
                   coalesce(w.run_seconds, v.run_seconds) AS run_seconds
              FROM worker w
              JOIN replica r ON r.worker_id = w.id
               AND r.seen_at >= :alive_after AND NOT r.leaving
               AND r.draining_at IS NULL
              LEFT JOIN worker_version v ON v.worker_id = w.id AND v.version = w.version
             WHERE w.paused_at IS NULL AND w.deleted_at IS NULL
               AND EXISTS (SELECT 1 FROM job_task t WHERE t.worker_id = w.id
                            AND t.state = {ENQUEUED} AND t.published_at IS NULL)
             GROUP BY w.id, v.run_seconds
             ORDER BY w.id
            """
        ),
        {"alive_after": alive_after},
    )
    return [
        Desk(
            worker_id=row.id,
            short_name=row.short_name,
            slots=row.slots,
            run_seconds=row.run_seconds,
            window_cap=row.window_cap,
            generation=row.generation,
        )
        for row in rows
    ]


def lock_desks(tx: Transaction, desks: Sequence[Desk]) -> None:
    """Make counting and claiming for each worker one dispatcher's at a time."""
    # As ``one_at_a_time`` does, of all of them in one statement: dispatchers lock by
    # id, so that none waits in a circle.
    tx.connection.execute(
        text(
            "SELECT pg_advisory_xact_lock(hashtextextended('dispatch ' || id, 0))"
            " FROM (SELECT id FROM unnest(CAST(:ids AS uuid[])) AS id ORDER BY id) w"
        ),
        {"ids": [desk.worker_id for desk in desks]},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """
    What a worker has on its hands.

    ``in_flight``: its attempts that are published and not over. ``finished``: its tasks
    that ended lately.
    """

    in_flight: int
    finished: int


def count_loads(
    tx: Transaction, desks: Sequence[Desk], *, since: datetime, limit: int
) -> dict[UUID, Load]:
    """Return each worker's load; what finished *since* then, at most *limit*."""
    rows = tx.connection.execute(
        _LOADS,
        {"ids": [desk.worker_id for desk in desks], "since": since, "most": limit},
    )
    return {
        row.id: Load(in_flight=row.in_flight, finished=row.finished)
        for row in rows.all()
    }


def claim(tx: Transaction, free: Mapping[UUID, int], *, limit: int) -> list[Claim]:
    """
    Take tasks out of workers' backlogs and mark them published.

    Of a worker's backlog every submitter's part is ranked by ``order_at``; the claim
    takes by (rank, ``order_at``): one from everybody, then a second from everybody. Of
    a sample that this version of the worker has never finished, or has died of, one
    attempt is published at a time: however many jobs there are, it kills one by one.
    One that has killed often enough, and may be innocent, rests after each death.

    Args:
        free: Worker id → how many at most, above 0.
        limit: How many at most together.

    Returns:
        In the order of publishing; locked until this transaction ends.
    """
    if not free:
        return []
    values = {
        "workers": list(free),
        "free": list(free.values()),
        "most": min(limit, max(free.values())),
        "limit": min(limit, sum(free.values())),
        "looked_at": min(limit, max(free.values())) + _PASSED_OVER_MAX,
        "alone_after": ALONE_AFTER_LOSSES,
        "often": POISON_DEATHS,
        "rested_at": tx.now - BEHIND,
        "now": tx.now,
    }
    rows = tx.connection.execute(_CLAIM, values).all()
    return [
        Claim(
            task_id=row.task_id,
            job_id=row.job_id,
            customer_id=row.customer_id,
            worker_id=row.worker_id,
            attempt=row.attempt,
            options=row.options,
            sample_sha256=row.sample_sha256,
            size_bytes=row.size_bytes,
            file_name=row.file_name,
            classification=read_classification(row),
            alone=row.alone,
        )
        for row in rows
    ]


def unpublish(
    tx: Transaction, attempts: Sequence[tuple[UUID, int]], *, published_at: datetime
) -> None:
    """Give back what the broker did not take, unless it moved on since."""
    if not attempts:
        return
    tx.connection.execute(
        text(
            f"""
            UPDATE job_task t SET published_at = NULL
              FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[]))
                   AS r(id, attempt)
             WHERE t.id = r.id AND t.attempt = r.attempt AND t.state = {ENQUEUED}
               AND t.published_at = :published_at
            """
        ),
        {
            "ids": [task_id for task_id, _ in attempts],
            "attempts": [attempt for _, attempt in attempts],
            "published_at": published_at,
        },
    )


_LOADS = text(
    f"""
    SELECT w.id,
           (SELECT count(*) FROM job_task
             WHERE worker_id = w.id AND published_at IS NOT NULL
               AND state IN ({OPEN})) AS in_flight,
           (SELECT count(*) FROM (
                   SELECT 1 FROM job_task
                    WHERE worker_id = w.id AND ended_at > :since LIMIT :most) e)
           AS finished
      FROM unnest(CAST(:ids AS uuid[])) AS w(id)
    """
)

_SUSPICION = """
    SELECT 1 FROM poison p
      JOIN worker w ON w.id = p.worker_id AND w.version = p.version
     WHERE p.sample_sha256 = t.sample_sha256 AND p.worker_id = t.worker_id
       AND p.cleared_at IS NULL
"""
_SUSPECTED = f"EXISTS ({_SUSPICION})"
_RESTS = f"EXISTS ({_SUSPICION} AND p.deaths >= :often AND p.last_at > :rested_at)"
_ONE_AT_A_TIME = f"({_SUSPECTED} OR NOT {FINISHED_ONCE})"
_UNDER_WAY = f"""
    EXISTS (SELECT 1 FROM job_task o
             WHERE o.sample_sha256 = t.sample_sha256 AND o.worker_id = t.worker_id
               AND o.published_at IS NOT NULL AND o.state IN ({OPEN}))
"""

# The recursive part hops from submitter to submitter along the backlog's index, so that
# a million tasks of one submitter cost no more than one.
_CLAIM = text(
    f"""
    WITH RECURSIVE submitters AS (
        SELECT w.worker_id, w.free,
               (SELECT t.submitter_id FROM job_task t
                 WHERE t.worker_id = w.worker_id AND t.state = {ENQUEUED}
                   AND t.published_at IS NULL
                 ORDER BY t.submitter_id LIMIT 1) AS submitter_id
          FROM unnest(CAST(:workers AS uuid[]), CAST(:free AS int[]))
               AS w(worker_id, free)
        UNION ALL
        SELECT s.worker_id, s.free,
               (SELECT t.submitter_id FROM job_task t
                 WHERE t.worker_id = s.worker_id AND t.state = {ENQUEUED}
                   AND t.published_at IS NULL AND t.submitter_id > s.submitter_id
                 ORDER BY t.submitter_id LIMIT 1)
          FROM submitters s WHERE s.submitter_id IS NOT NULL
    ), ranked AS (
        SELECT s.worker_id, s.free, head.id, head.sample_sha256, head.order_at,
               head.rank
          FROM submitters s, LATERAL (
               SELECT h.id, h.sample_sha256, h.order_at,
                      row_number() OVER (ORDER BY h.order_at, h.id) AS rank
                 FROM (SELECT t.id, t.sample_sha256, t.order_at
                         FROM (SELECT id, worker_id, sample_sha256, order_at
                                 FROM job_task
                                WHERE worker_id = s.worker_id
                                  AND submitter_id = s.submitter_id
                                  AND state = {ENQUEUED} AND published_at IS NULL
                                  AND (not_before IS NULL OR not_before <= :now)
                                ORDER BY order_at LIMIT :looked_at) t
                        WHERE NOT ({_UNDER_WAY} AND {_ONE_AT_A_TIME})
                          AND NOT {_RESTS}
                        ORDER BY t.order_at LIMIT :most) h) head
         WHERE s.submitter_id IS NOT NULL
    ), placed AS (
        SELECT id, worker_id, sample_sha256, order_at, rank, free,
               row_number() OVER (PARTITION BY worker_id ORDER BY rank, order_at, id)
               AS place,
               row_number() OVER (PARTITION BY worker_id, sample_sha256
                                  ORDER BY rank, order_at, id) AS copy
          FROM ranked
    ), chosen AS (
        SELECT id, order_at, rank FROM placed t
         WHERE place <= free AND (copy = 1 OR NOT {_ONE_AT_A_TIME})
         ORDER BY rank, order_at LIMIT :limit
    ), locked AS (
        SELECT t.id FROM job_task t
         WHERE t.id IN (SELECT id FROM chosen)
           AND t.state = {ENQUEUED} AND t.published_at IS NULL
         ORDER BY t.id FOR NO KEY UPDATE SKIP LOCKED
    ), marked AS (
        UPDATE job_task t SET published_at = :now
          FROM locked WHERE t.id = locked.id
        RETURNING t.id, t.job_id, t.worker_id, t.attempt, t.options, t.sample_sha256,
                  {LOSSES_OF_SAMPLE} >= :alone_after OR {_SUSPECTED} AS alone
    )
    SELECT m.id AS task_id, m.job_id, m.worker_id, m.attempt, m.options,
           m.sample_sha256, m.alone, s.size_bytes, j.file_name, j.customer_id,
           c.type, c.super_type, c.platform, c.arch, c.mime_type
      FROM marked m
      JOIN chosen ON chosen.id = m.id
      JOIN job j ON j.id = m.job_id
      JOIN sample s ON s.sha256 = m.sample_sha256
      LEFT JOIN LATERAL (
           SELECT * FROM classification WHERE sample_sha256 = m.sample_sha256
            ORDER BY created_at DESC LIMIT 1) c ON true
     ORDER BY chosen.rank, chosen.order_at
    """
)
