"""
What has failed lately, the same faults together: by worker, version, reason and the
first line of what it said; of a traceback the last, which says what was raised.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import text

from orchestrator.db.states import FAILED, TIMEOUT
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.viewer import Viewer

#: How far back, and how many tasks are looked at: the newest.
WITHIN: Final = timedelta(days=7)
LOOKED_AT_MAX: Final = 10_000

#: Kinds of failure that a page has: with more, nobody reads them.
GROUPS_MAX: Final = 200

#: Characters of a first line by which failures are told apart.
_LINE_MAX: Final = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """
    Tasks that failed alike.

    ``version``: of the worker that was the newest when they ended. ``job_ids``: the
    newest of their jobs. ``task_id``: the newest of them.
    """

    worker: str
    version: str | None
    state: str
    reason: str | None
    line: str
    count: int
    first_at: datetime
    last_at: datetime
    task_id: UUID
    job_ids: tuple[UUID, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Failures:
    """``looked_at``: tasks; ``is_whole``: all of the time was looked at."""

    kinds: tuple[Failure, ...]
    looked_at: int
    is_whole: bool


def list_failures(tx: Transaction, *, viewer: Viewer, jobs_max: int) -> Failures:
    """
    Return the kinds of failure of the viewer's customers, the most frequent first.

    Args:
        jobs_max: How many jobs of a kind are named.
    """
    customers = viewer.customer_ids
    values = {
        "since": tx.now - WITHIN,
        "most": LOOKED_AT_MAX,
        "kinds": GROUPS_MAX,
        "length": _LINE_MAX,
        "blank": " \n\r\t",
        "newline": "\n",
        "jobs": jobs_max,
        "all": customers is None,
        "customers": sorted(customers or ()),
    }
    rows = tx.connection.execute(_KINDS, values).all()
    looked_at = rows[0].looked_at if rows else 0
    return Failures(
        kinds=tuple(
            Failure(
                worker=row.worker,
                version=row.version,
                state=row.state,
                reason=row.reason,
                line=row.line,
                count=row.number,
                first_at=row.first_at,
                last_at=row.last_at,
                task_id=row.task_id,
                job_ids=tuple(dict.fromkeys(row.job_ids)),
            )
            for row in rows
        ),
        looked_at=looked_at,
        is_whole=looked_at < LOOKED_AT_MAX,
    )


# Worker by worker, as the index has them. Which version a task had is not stored: the
# newest that had come by its end.
_KINDS = text(
    f"""
    WITH ended AS (
        SELECT w.id AS worker_id, w.short_name AS worker, t.id, t.job_id, t.state,
               t.reason, t.ended_at,
               left(CASE WHEN said.text LIKE 'Traceback (%' THEN said.last
                         ELSE said.first END, :length) AS line
          FROM worker w
         CROSS JOIN LATERAL (
               SELECT * FROM job_task t
                WHERE t.worker_id = w.id AND t.ended_at > :since
                  AND t.state IN ({FAILED}, {TIMEOUT})
                ORDER BY t.ended_at DESC LIMIT :most) t
         CROSS JOIN LATERAL (
               SELECT text, split_part(text, :newline, 1) AS first,
                      split_part(text, :newline, -1) AS last
                 FROM btrim(coalesce(t.message, ''), :blank) AS text) said
          JOIN job j ON j.id = t.job_id
         WHERE :all OR j.customer_id = ANY(CAST(:customers AS uuid[]))
         ORDER BY t.ended_at DESC LIMIT :most
    ), versioned AS (
        SELECT e.*, (SELECT v.version FROM worker_version v
                      WHERE v.worker_id = e.worker_id AND v.created_at <= e.ended_at
                      ORDER BY v.created_at DESC LIMIT 1) AS version
          FROM ended e
    )
    SELECT worker, version, state, reason, line, count(*) AS number,
           min(ended_at) AS first_at, max(ended_at) AS last_at,
           (array_agg(id ORDER BY ended_at DESC))[1] AS task_id,
           (array_agg(job_id ORDER BY ended_at DESC))[1:CAST(:jobs AS int)] AS job_ids,
           (SELECT count(*) FROM ended) AS looked_at
      FROM versioned
     GROUP BY worker, version, state, reason, line
     ORDER BY count(*) DESC, max(ended_at) DESC LIMIT :kinds
    """
)
