"""
A minute of the service in numbers, a row each: for a look back over the last hours.

Whoever comes first in a minute writes its row; all of it is known already, in counters
and partial indexes.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import text

from orchestrator.db.counters import TASKS_ENDED, TASKS_ENQUEUED
from orchestrator.db.states import FAILED, OPEN, TIMEOUT
from orchestrator.db.unit_of_work import Transaction


def record(tx: Transaction, *, lease: timedelta) -> None:
    """
    Write this minute down, if nobody has.

    Args:
        lease: How long a silent replica counts as alive.
    """
    at = tx.now.replace(second=0, microsecond=0)
    if tx.connection.execute(_IS_THERE, {"at": at}).first() is None:
        values = {
            "at": at,
            "now": tx.now,
            "alive_after": tx.now - lease,
            "enqueued": TASKS_ENQUEUED.name,
            "ended": TASKS_ENDED.name,
        }
        tx.connection.execute(_RECORD, values)


_IS_THERE = text("SELECT FROM pulse WHERE at = :at")
_RECORD = text(
    f"""
    INSERT INTO pulse (at, created_at, enqueued, ended, failed, oldest_at, slots)
    SELECT CAST(:at AS timestamptz), CAST(:now AS timestamptz),
           coalesce(sum(value) FILTER (WHERE name = :enqueued), 0),
           coalesce(sum(value) FILTER (WHERE name = :ended), 0),
           coalesce(sum(value) FILTER (WHERE name = :ended
               AND labels->>'state' IN ({FAILED}, {TIMEOUT})), 0),
           (SELECT min(oldest) FROM worker w, LATERAL (
               SELECT t.enqueued_at AS oldest FROM job_task t
                WHERE t.worker_id = w.id AND t.state IN ({OPEN})
                ORDER BY t.enqueued_at LIMIT 1) o),
           (SELECT coalesce(sum(slots), 0) FROM replica
             WHERE seen_at >= :alive_after AND NOT leaving)
      FROM counter WHERE name IN (:enqueued, :ended)
    ON CONFLICT (at) DO NOTHING
    """
)
