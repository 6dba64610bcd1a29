"""
Deaths of workers by a sample: who is suspected, and who is poison.

A sample is *suspected* of killing a worker's version from the first death on, and
*poison* for it after the third, if the worker is well. One row for each (sample,
worker, version).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from orchestrator.db.states import (
    DIED_OF,
    ENQUEUED,
    FAILED,
    OPEN,
    RUN_TIME,
    SUCCESS,
    UNFINISHED,
)
from orchestrator.db.unit_of_work import Transaction

#: Deaths after which a sample is poison.
POISON_DEATHS = 3

#: Other samples of which a worker has died since it last finished one: with more, it is
#: the worker that is ill. Several killers may come at once.
_OTHERS_MAX = 10

#: How far back it is looked for that: the tasks that were ended last.
_ENDED_MAX = 1_000

#: How far a suspected sample's other tasks go back in the backlog, and how many of them
#: at a death: the oldest. So long it rests, too, if it is not poison after the third.
BEHIND = timedelta(minutes=10)
_BEHIND_MAX = 1_000


#: A worker and its version.
WorkerVersion = tuple[UUID, str]

#: For whom a sample ``s`` is poison, in SQL; :func:`read_versions` reads it.
POISONED_VERSIONS = """
    (SELECT jsonb_agg(jsonb_build_array(p.worker_id, p.version)) FROM poison p
      WHERE p.sample_sha256 = s.sha256
        AND p.poisoned_at IS NOT NULL AND p.cleared_at IS NULL)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Death:
    """A version of a worker crashed, or ran out of memory, over a sample."""

    sample_sha256: str
    worker_id: UUID
    version: str


def count_death(tx: Transaction, death: Death) -> None:
    """
    Count a death of a worker's version by a sample.

    The third, over all jobs, makes it poison if the worker is well: before or since,
    this version has finished another sample, and of few others it died after that. If
    it turns out to be ill, what became poison after that is no more: it was not the
    samples. What was cleared counts anew. Other tasks of the sample go behind what
    waits.
    """
    key = {**_key(death), "now": tx.now}
    deaths = tx.connection.execute(_COUNT_DEATH, key).scalar_one()
    if deaths >= POISON_DEATHS:
        _judge(tx, death)
    behind = {"behind": tx.now + BEHIND, "most": _BEHIND_MAX}
    tx.connection.execute(_PUT_BEHIND, {**_key(death), **behind})


def _judge(tx: Transaction, death: Death) -> None:
    key = _key(death)
    health = tx.connection.execute(_HEALTH, {**key, "most": _ENDED_MAX}).one()
    if health.finished_at is None:
        return
    if health.died_of <= _OTHERS_MAX:
        tx.connection.execute(_POISON, {**key, "now": tx.now})
    else:
        of_version = {"worker": death.worker_id, "version": death.version}
        tx.connection.execute(_ACQUIT, {**of_version, "since": health.finished_at})


def is_suspected(tx: Transaction, death: Death) -> bool:
    """Whether a worker's version has died of a sample, and nobody cleared it."""
    return tx.connection.execute(_IS_SUSPECTED, _key(death)).first() is not None


def count_losses(tx: Transaction, task_id: UUID) -> int:
    """Return how many lost attempts speak against this task's sample."""
    found = tx.connection.execute(_LOSSES, {"task": task_id}).scalar_one()
    return int(found)


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


def poisoned_versions(tx: Transaction, sample_sha256: str) -> set[WorkerVersion]:
    """Return those for which this sample is poison."""
    found = tx.connection.execute(_POISONED, {"sample": sample_sha256}).scalar_one()
    return read_versions(found)


def read_versions(found: Sequence[Sequence[str]] | None) -> set[WorkerVersion]:
    """Read what :data:`POISONED_VERSIONS` gives."""
    return {(UUID(worker_id), version) for worker_id, version in found or ()}


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


#: Of a task ``t``: whether the worker's present version has finished its sample, by
#: whatever end but a death.
FINISHED_ONCE = f"""
    EXISTS (SELECT 1 FROM job_task f
              JOIN worker w ON w.id = f.worker_id
              JOIN worker_version v ON v.worker_id = w.id AND v.version = w.version
             WHERE f.sample_sha256 = t.sample_sha256 AND f.worker_id = t.worker_id
               AND f.ended_at > v.created_at
               AND (f.state = {SUCCESS}
                    OR f.state = {FAILED} AND f.reason NOT IN ({UNFINISHED})
                    OR f.reason = {RUN_TIME}))
"""

#: Of a task ``t``: its losses; until its sample was finished once, those of all tasks
#: of the sample. Where each has few, none would ever have had enough.
LOSSES_OF_SAMPLE = f"""
    CASE WHEN {FINISHED_ONCE} THEN t.losses ELSE (
         SELECT sum(o.losses) FROM job_task o
           JOIN worker w ON w.id = o.worker_id
           LEFT JOIN worker_version v ON v.worker_id = w.id AND v.version = w.version
          WHERE o.sample_sha256 = t.sample_sha256 AND o.worker_id = t.worker_id
            AND (o.id = t.id OR o.ended_at IS NULL OR o.ended_at > v.created_at)) END
"""

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
# What never ran has no holder. An end without a death is one whatever came of it.
_HEALTH = text(
    f"""
    WITH ended AS (
        SELECT t.sample_sha256, t.ended_at, t.reason IN ({DIED_OF}) AS died,
               t.state = {SUCCESS} OR t.reason NOT IN ({UNFINISHED}) AS finished
          FROM job_task t
          JOIN worker_version v ON v.worker_id = t.worker_id AND v.version = :version
         WHERE t.worker_id = :worker AND t.sample_sha256 <> :sample
           AND t.state IN ({SUCCESS}, {FAILED}) AND t.holder IS NOT NULL
           AND t.ended_at > v.created_at
         ORDER BY t.ended_at DESC LIMIT :most
    )
    SELECT finished_at,
           (SELECT count(DISTINCT sample_sha256) FROM ended
             WHERE died AND ended_at > finished_at) AS died_of
      FROM (SELECT max(ended_at) AS finished_at FROM ended WHERE finished) f
    """
)
_POISON = text(
    """
    UPDATE poison SET poisoned_at = :now
     WHERE sample_sha256 = :sample AND worker_id = :worker AND version = :version
       AND poisoned_at IS NULL
    """
)
_ACQUIT = text(
    """
    UPDATE poison SET poisoned_at = NULL
     WHERE worker_id = :worker AND version = :version AND poisoned_at > :since
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
_LOSSES = text(f"SELECT {LOSSES_OF_SAMPLE} FROM job_task t WHERE t.id = :task")
_POISONED = text(
    f"SELECT {POISONED_VERSIONS} FROM (SELECT CAST(:sample AS text) AS sha256) s"
)
_IS_POISON = text(
    """
    SELECT poisoned_at IS NOT NULL AND cleared_at IS NULL FROM poison
     WHERE sample_sha256 = :sample AND worker_id = :worker AND version = :version
    """
)
