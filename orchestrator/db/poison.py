"""
Deaths of workers by a sample: who is suspected, and who is poison.

A sample is *suspected* of killing a worker's version from the first death on, and
*poison* for it after the third. One row for each (sample, worker, version).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from orchestrator.db.states import DEATHS, ENQUEUED, FAILED, OPEN, POISON, SUCCESS
from orchestrator.db.unit_of_work import Transaction

#: Deaths after which a sample is poison.
POISON_DEATHS = 3

#: How far a suspected sample's other tasks go back in the backlog, and how many of them
#: at a death: the oldest.
_BEHIND = timedelta(minutes=10)
_BEHIND_MAX = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Death:
    """A version of a worker crashed, or ran out of memory, over a sample."""

    sample_sha256: str
    worker_id: UUID
    version: str


def count_death(tx: Transaction, death: Death) -> None:
    """
    Count a death of a worker's version by a sample.

    The third, over all jobs, makes it poison, if the worker is well: what this version
    last ended of another sample it did not die of. What was cleared counts anew. Other
    tasks of the sample go behind what waits.
    """
    key = {**_key(death), "now": tx.now}
    deaths = tx.connection.execute(_COUNT_DEATH, key).scalar_one()
    if deaths >= POISON_DEATHS:
        tx.connection.execute(_POISON, key)
    behind = {"behind": tx.now + _BEHIND, "most": _BEHIND_MAX}
    tx.connection.execute(_PUT_BEHIND, {**_key(death), **behind})


def is_suspected(tx: Transaction, death: Death) -> bool:
    """Whether a worker's version has died of a sample, and nobody cleared it."""
    return tx.connection.execute(_IS_SUSPECTED, _key(death)).first() is not None


def is_poison(tx: Transaction, death: Death) -> bool:
    """Whether a sample is poison for a worker's version, and nobody cleared it."""
    poisoned = tx.connection.execute(_IS_POISON, _key(death)).scalar_one_or_none()
    return bool(poisoned)


def _key(death: Death) -> dict[str, object]:
    return {
        "sample": death.sample_sha256,
        "worker": death.worker_id,
        "version": death.version,
    }


def poisoned_workers(tx: Transaction, sample_sha256: str) -> set[tuple[UUID, str]]:
    """Return the (worker, version) pairs for which this sample is poison."""
    rows = tx.connection.execute(
        text(
            "SELECT worker_id, version FROM poison WHERE sample_sha256 = :sample"
            " AND poisoned_at IS NOT NULL AND cleared_at IS NULL"
        ),
        {"sample": sample_sha256},
    )
    return {(row.worker_id, row.version) for row in rows}


def find_poisoned_tasks(tx: Transaction, *, limit: int) -> list[UUID]:
    """Return open tasks of samples that are poison for the worker as it is now."""
    rows = tx.connection.execute(
        text(
            f"""
            SELECT t.id FROM poison p
              JOIN worker w ON w.id = p.worker_id AND w.version = p.version
              JOIN job_task t ON t.sample_sha256 = p.sample_sha256
               AND t.worker_id = p.worker_id AND t.state IN ({OPEN})
             WHERE p.poisoned_at IS NOT NULL AND p.cleared_at IS NULL
             LIMIT :limit
            """
        ),
        {"limit": limit},
    )
    return list(rows.scalars())


_COUNT_DEATH = text(
    """
    INSERT INTO poison (sample_sha256, worker_id, version, deaths, first_at, last_at)
    VALUES (:sample, :worker, :version, 1, :now, :now)
    ON CONFLICT (sample_sha256, worker_id, version) DO UPDATE SET
           deaths = CASE WHEN poison.cleared_at IS NULL THEN poison.deaths + 1
                         ELSE 1 END,
           first_at = CASE WHEN poison.cleared_at IS NULL THEN poison.first_at
                           ELSE :now END,
           poisoned_at = CASE WHEN poison.cleared_at IS NULL THEN poison.poisoned_at
                         END,
           last_at = :now, cleared_at = NULL, cleared_by = NULL
    RETURNING deaths
    """
)
_POISON = text(
    f"""
    UPDATE poison p SET poisoned_at = :now
     WHERE sample_sha256 = :sample AND worker_id = :worker AND version = :version
       AND poisoned_at IS NULL
       AND (SELECT t.state = {SUCCESS} OR t.reason NOT IN ({DEATHS}) FROM job_task t
             WHERE t.worker_id = :worker AND t.sample_sha256 <> :sample
               AND t.state IN ({SUCCESS}, {FAILED})
               AND t.reason IS DISTINCT FROM {POISON}
               AND t.ended_at > coalesce(
                   (SELECT created_at FROM worker_version v
                     WHERE v.worker_id = :worker AND v.version = :version), p.first_at)
             ORDER BY t.ended_at DESC LIMIT 1)
    """
)
# Nobody is waited for: whoever holds a task decides about it anyway.
_PUT_BEHIND = text(
    f"""
    UPDATE job_task t SET order_at = :behind
      FROM (SELECT id FROM job_task
             WHERE sample_sha256 = :sample AND worker_id = :worker
               AND state = {ENQUEUED} AND published_at IS NULL AND order_at < :behind
             LIMIT :most FOR NO KEY UPDATE SKIP LOCKED) AS other
     WHERE t.id = other.id
    """
)
_IS_SUSPECTED = text(
    """
    SELECT 1 FROM poison
     WHERE sample_sha256 = :sample AND worker_id = :worker AND version = :version
       AND cleared_at IS NULL
    """
)
_IS_POISON = text(
    """
    SELECT poisoned_at IS NOT NULL AND cleared_at IS NULL FROM poison
     WHERE sample_sha256 = :sample AND worker_id = :worker AND version = :version
    """
)
