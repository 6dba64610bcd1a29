"""
What maintenance looks for: tasks past a clock, attempts in nobody's hands.

Candidates only: whoever acts on them locks and checks again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text

from orchestrator.db.states import ENQUEUED, EXECUTING, OPEN
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.clocks import Watermark

#: What a heartbeat lists: an attempt as ``celery_id`` of ``contracts/assignment.py``
#: writes it.
_ATTEMPT = "t.id || '.' || t.attempt"


def try_lock_sweep(tx: Transaction, name: str) -> bool:
    """Whether this transaction may do the sweep; another one is at it otherwise."""
    return tx.try_one_at_a_time(f"sweep {name}")


def find_due_tasks(tx: Transaction, watermark: Watermark, *, limit: int) -> list[UUID]:
    """
    Return open tasks past their ``due_at``, oldest first; none of a paused worker's
    backlog.

    Unpublished ones by the watermark alone; published ones only after a silence as
    long as their limit, counted anew after a gap.
    """
    rows = tx.connection.execute(
        text(
            f"""
            SELECT t.id FROM job_task t
             WHERE t.state IN ({OPEN}) AND t.due_at <= :at
               AND (t.published_at IS NULL OR :at > :gap + (t.due_at -
                    CASE WHEN t.state = {EXECUTING} THEN t.started_at
                         ELSE t.queued_at END))
               AND NOT (t.state = {ENQUEUED} AND EXISTS (
                    SELECT 1 FROM worker w
                     WHERE w.id = t.worker_id AND w.paused_at IS NOT NULL))
             ORDER BY t.due_at LIMIT :limit
            """
        ),
        {"at": watermark.at, "gap": watermark.gap_ended_at, "limit": limit},
    )
    return list(rows.scalars())


def update_homes(tx: Transaction, *, alive_after: datetime) -> None:
    """
    Note which workers have nobody home, and since when.

    Args:
        alive_after: A replica heard since then is live.
    """
    rows = tx.connection.execute(
        text(
            """
            WITH seen AS (
                SELECT w.id, w.nobody_home_since, max(r.seen_at) AS seen_at,
                       coalesce(bool_or(r.seen_at >= :alive_after AND NOT r.leaving
                                        AND r.draining_at IS NULL), false) AS is_home
                  FROM worker w LEFT JOIN replica r ON r.worker_id = w.id
                 WHERE w.version IS NOT NULL
                 GROUP BY w.id
            )
            UPDATE worker w
               SET nobody_home_since = CASE WHEN s.is_home THEN NULL
                                            ELSE coalesce(s.seen_at, :now) END
              FROM seen s
             WHERE s.id = w.id AND s.is_home = (s.nobody_home_since IS NOT NULL)
            RETURNING w.id
            """
        ),
        {"alive_after": alive_after, "now": tx.now},
    )
    tx.changed.workers.update(rows.scalars())


def find_homeless_tasks(
    tx: Transaction, *, since_before: datetime, limit: int
) -> list[UUID]:
    """
    Return enqueued tasks whose worker has had nobody home for too long.

    Args:
        since_before: Nobody home, and the task queued, since before this moment.
    """
    # Worker by worker, as LATERAL has it: as long as there is no such worker, nobody
    # looks at tasks, whatever the planner thinks of millions of them.
    rows = tx.connection.execute(
        text(
            f"""
            SELECT t.id FROM worker w, LATERAL (
                   SELECT id FROM job_task
                    WHERE worker_id = w.id AND state = {ENQUEUED}
                      AND enqueued_at < :before AND queued_at < :before
                    ORDER BY enqueued_at LIMIT :limit) t
             WHERE w.nobody_home_since < :before AND w.paused_at IS NULL
             LIMIT :limit
            """
        ),
        {"before": since_before, "limit": limit},
    )
    return list(rows.scalars())


@dataclass(frozen=True, kw_only=True, slots=True)
class Lost:
    """
    An executing attempt in nobody's hands.

    ``heard_at``: when its holder last spoke of it, as far as is known. ``ran_alone``:
    the holder fell silent, and ran nothing else; ``version``: the holder's.
    """

    task_id: UUID
    attempt: int
    heard_at: datetime
    ran_alone: bool
    version: str | None


def find_lost(
    tx: Transaction, watermark: Watermark, *, lease: timedelta, limit: int
) -> list[Lost]:
    """
    Return executing attempts whose holder is silent, or no longer lists them.

    Holders that speak HTTP have no lease. "No longer": neither of the holder's last two
    heartbeats, both later than the attempt's start, has it, and what was sent before
    them has been read: until then nobody knows whether there was a gap.
    """
    rows = tx.connection.execute(
        text(
            f"""
            SELECT id, attempt, version,
                   has_nothing_else AND NOT is_dropped AS ran_alone,
                   CASE WHEN is_dropped THEN started_at ELSE heard_at END AS heard_at
              FROM (SELECT t.id, t.attempt, t.started_at, r.version,
                           NOT EXISTS (SELECT 1 FROM job_task o
                                        WHERE o.holder = t.holder AND o.id <> t.id
                                          AND o.state = {EXECUTING})
                           AS has_nothing_else,
                           greatest(t.started_at, r.seen_at) AS heard_at,
                           coalesce(r.seen_before_at > t.started_at
                               AND r.seen_at < :read_to
                               AND NOT ({_ATTEMPT})
                                   = ANY(r.holds || r.held_before), false)
                           AS is_dropped
                      FROM job_task t LEFT JOIN replica r ON r.id = t.holder
                     WHERE t.state = {EXECUTING} AND t.holder NOT LIKE 'http:%') held
             WHERE is_dropped OR heard_at < :silent_before
             LIMIT :limit
            """
        ),
        {
            "silent_before": watermark.horizon(lease),
            "read_to": watermark.at,
            "limit": limit,
        },
    )
    return [
        Lost(
            task_id=row.id,
            attempt=row.attempt,
            heard_at=row.heard_at,
            ran_alone=row.ran_alone,
            version=row.version,
        )
        for row in rows
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """A worker with published attempts that nobody has started."""

    worker_id: UUID
    short_name: str


def find_deliveries(tx: Transaction) -> list[Delivery]:
    """Return the workers whose queues should hold something."""
    rows = tx.connection.execute(
        text(
            "SELECT w.id, w.short_name FROM worker w WHERE EXISTS ("
            " SELECT 1 FROM job_task t WHERE t.worker_id = w.id"
            f" AND t.published_at IS NOT NULL AND t.state = {ENQUEUED}) ORDER BY w.id"
        )
    )
    return [Delivery(worker_id=row.id, short_name=row.short_name) for row in rows]


def note_drained(
    tx: Transaction,
    seen_empty: Mapping[UUID, datetime],
    workers: Sequence[UUID],
    *,
    alive_after: datetime,
) -> None:
    """
    Note up to which ``published_at`` a worker's queue has been emptied.

    That is when the queue was seen empty, or the newest attempt that a live replica
    listed or any reported: a queue is first in, first out.
    """
    ids = sorted(workers)
    tx.connection.execute(
        text(
            f"""
            WITH asked AS (
                SELECT * FROM unnest(CAST(:ids AS uuid[]),
                                     CAST(:empty AS timestamptz[]))
                       AS a(id, seen_empty_at)
            ), listed AS (
                SELECT t.worker_id AS id, max(t.published_at) AS published_at
                  FROM replica r, LATERAL unnest(r.holds) AS hold
                  JOIN job_task t ON t.id = CAST(split_part(hold, '.', 1) AS uuid)
                 WHERE r.worker_id = ANY(:ids) AND t.worker_id = r.worker_id
                   AND r.seen_at >= :alive_after AND hold = {_ATTEMPT}
                 GROUP BY t.worker_id
            ), reported AS (
                SELECT a.id, max(t.published_at) AS published_at
                  FROM asked a, LATERAL (
                       SELECT published_at FROM job_task
                        WHERE worker_id = a.id AND holder IS NOT NULL
                          AND ended_at IS NOT NULL
                        ORDER BY ended_at DESC LIMIT 64) t
                 GROUP BY a.id
            ), drained AS (
                SELECT a.id, greatest(a.seen_empty_at, l.published_at, r.published_at)
                       AS drained_to
                  FROM asked a LEFT JOIN listed l ON l.id = a.id
                  LEFT JOIN reported r ON r.id = a.id
            )
            UPDATE worker w SET drained_to = d.drained_to FROM drained d
             WHERE w.id = d.id AND d.drained_to > coalesce(w.drained_to, '-infinity')
            """
        ),
        {
            "ids": ids,
            "empty": [seen_empty.get(worker_id) for worker_id in ids],
            "alive_after": alive_after,
        },
    )


def take_no_longer(tx: Transaction, seconds: float) -> None:
    """Let no further statement of this transaction take longer than that."""
    tx.connection.execute(
        text("SELECT set_config('statement_timeout', :limit, true)"),
        {"limit": f"{int(seconds * 1000)}ms"},
    )


def unpublish_undelivered(
    tx: Transaction, workers: Sequence[UUID], *, alive_after: datetime, limit: int
) -> list[tuple[UUID, UUID, int]]:
    """
    Give published attempts of *workers* back to the backlog that nobody has in hand.

    That is: no live replica lists it, the queue was drained past it, and every live
    replica has sent two heartbeats since. Without a live replica nothing is given back.

    Returns:
        (task id, job id, attempt), for the history.
    """
    rows = tx.connection.execute(
        text(
            f"""
            WITH live AS (
                SELECT worker_id, min(coalesce(seen_before_at, '-infinity')) AS since
                  FROM replica
                 WHERE seen_at >= :alive_after AND NOT leaving
                   AND worker_id = ANY(:workers)
                 GROUP BY worker_id
            ), held AS (
                SELECT unnest(holds || held_before) AS hold FROM replica
                 WHERE seen_at >= :alive_after AND worker_id = ANY(:workers)
            ), lost AS (
                SELECT t.id FROM live l
                  JOIN worker w ON w.id = l.worker_id
                  JOIN job_task t ON t.worker_id = w.id AND t.state = {ENQUEUED}
                   AND t.published_at < w.drained_to AND t.published_at < l.since
                 WHERE NOT EXISTS (SELECT 1 FROM held
                                    WHERE held.hold = {_ATTEMPT})
                 ORDER BY t.id LIMIT :limit
                   FOR NO KEY UPDATE OF t SKIP LOCKED
            )
            UPDATE job_task t SET published_at = NULL FROM lost
             WHERE t.id = lost.id RETURNING t.id, t.job_id, t.attempt
            """
        ),
        {"alive_after": alive_after, "workers": list(workers), "limit": limit},
    )
    return [(row.id, row.job_id, row.attempt) for row in rows]


def find_disabled_tasks(tx: Transaction, *, limit: int) -> list[UUID]:
    """Return open tasks of workers that were deleted."""
    # By LATERAL for the same reason as those with nobody home.
    rows = tx.connection.execute(
        text(
            f"""
            SELECT t.id FROM worker w, LATERAL (
                   SELECT id FROM job_task
                    WHERE worker_id = w.id AND state IN ({OPEN})
                    ORDER BY enqueued_at LIMIT :limit) t
             WHERE w.deleted_at IS NOT NULL
             LIMIT :limit
            """
        ),
        {"limit": limit},
    )
    return list(rows.scalars())
