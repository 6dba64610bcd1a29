"""
What was out of the ordinary: task events, refused messages, and deaths by a sample.

Append-only, but for the poison counters.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import insert, text

from orchestrator.db.bulk import insert_rows
from orchestrator.db.states import OPEN, SUCCESS
from orchestrator.db.tables import rejected_report, task_event
from orchestrator.db.unit_of_work import Transaction

#: Bytes of a refused message that are kept, to see what it was; and characters of why.
KEPT_BYTES = 4096
_REASON_CHARACTERS = 500

#: Refused messages of one kind that are kept: of one batch, and in all, the newest.
#: A flood is counted, not stored.
_KEPT_OF_BATCH = 20
KEPT_REJECTED = 1_000

#: Deaths of one (sample, worker, version) after which it is poison.
POISON_DEATHS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class NewEvent:
    """Something out of the ordinary in a task's life; shown by ``task show``."""

    task_id: UUID
    job_id: UUID
    attempt: int
    kind: str
    reason: str | None
    actor: str | None
    message: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """
    A message that changed nothing, and why.

    ``reason`` starts with its kind, one word before a colon, of which there are few;
    the rest may quote the message.
    """

    reason: str
    body: bytes

    @property
    def kind(self) -> str:
        """The first word of the reason; there are few of them."""
        return self.reason.partition(":")[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Death:
    """A version of a worker crashed, or ran out of memory, over a sample."""

    sample_sha256: str
    worker_id: UUID
    version: str


def add_events(tx: Transaction, events: Sequence[NewEvent]) -> None:
    """Append to the history of tasks."""
    rows = [
        {
            "task_id": event.task_id,
            "job_id": event.job_id,
            "attempt": event.attempt,
            "kind": event.kind,
            "reason": event.reason,
            "actor": event.actor,
            "message": event.message,
        }
        for event in events
    ]
    insert_rows(tx, task_event, rows)


def add_rejected(tx: Transaction, rejected: Sequence[Rejected]) -> None:
    """
    Keep refused messages, cut to their first 4 KiB, with the size and hash of all.

    Of each kind the newest thousand stay, and of a batch the first twenty come.
    """
    kept: list[Rejected] = []
    seen: Counter[str] = Counter()
    for message in rejected:
        seen[message.kind] += 1
        if seen[message.kind] <= _KEPT_OF_BATCH:
            kept.append(message)
    if not kept:
        return
    tx.connection.execute(insert(rejected_report), [_row(message) for message in kept])
    tx.connection.execute(_FORGET_REJECTED, {"kept": KEPT_REJECTED})


def _row(message: Rejected) -> dict[str, object]:
    return {
        "kind": message.kind,
        "reason": message.reason.replace("\0", "\ufffd")[:_REASON_CHARACTERS],
        "body": message.body[:KEPT_BYTES],
        "size_bytes": len(message.body),
        "sha256": hashlib.sha256(message.body).hexdigest(),
    }


def count_death(tx: Transaction, death: Death) -> None:
    """
    Count a death of a worker's version by a sample.

    The third, over all jobs, makes it poison, if the worker finished another sample
    after the first of them. What was cleared counts anew.
    """
    key = {**_key(death), "now": tx.now}
    deaths = tx.connection.execute(_COUNT_DEATH, key).scalar_one()
    if deaths >= POISON_DEATHS:
        tx.connection.execute(_POISON, key)


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


_FORGET_REJECTED = text(
    """
    DELETE FROM rejected_report WHERE id IN (
        SELECT id FROM (
            SELECT id, row_number() OVER (PARTITION BY kind ORDER BY id DESC) AS place
              FROM rejected_report) AS placed
         WHERE place > :kept)
    """
)
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
       AND EXISTS (SELECT 1 FROM job_task t
                    WHERE t.worker_id = :worker AND t.ended_at > p.first_at
                      AND t.state = {SUCCESS} AND t.sample_sha256 <> :sample)
    """
)
_IS_POISON = text(
    """
    SELECT poisoned_at IS NOT NULL AND cleared_at IS NULL FROM poison
     WHERE sample_sha256 = :sample AND worker_id = :worker AND version = :version
    """
)
