"""
What the open tasks of a job wait for, each in a sentence. It decides nothing: whose
turn it is, is ``db/backlog.py``'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from orchestrator.db.states import ENQUEUED, OPEN
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.values import TaskState

#: Tasks before one are counted up to here; what is shown above it is "more than".
BEFORE_MAX = 1_000

_MINUTE = 60
_HOUR = 3600
_ORDINALS = {1: "st", 2: "nd", 3: "rd"}


class Because(StrEnum):
    """Why a task has not ended."""

    RUNNING = "running"
    #: It was lost or failed, and is tried again later.
    BACK_OFF = "back_off"
    PAUSED = "paused"
    NO_REPLICA = "no_replica"
    #: Every replica that lives takes no work.
    ASIDE = "aside"
    #: It is in the worker's queue, and every slot is busy.
    DELIVERED = "delivered"
    #: Others come first.
    TURN = "turn"


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """
    An open task. ``before``: of its submitter's tasks for this worker, how many come
    first. ``until``: when its clock ends it at the latest, or when it is tried again.
    """

    task_id: UUID
    worker: str
    attempt: int
    because: Because
    detail: str
    before: int | None
    until: datetime | None


def list_waiting(
    tx: Transaction, job_id: UUID, *, lease: timedelta
) -> tuple[Waiting, ...]:
    """
    Return the open tasks of a job, by worker.

    Args:
        lease: How long a silent replica counts as alive.
    """
    rows = tx.connection.execute(
        _OPEN,
        {
            "job": job_id,
            "alive_after": tx.now - lease,
            "most": BEFORE_MAX + 1,
        },
    )
    return tuple(_waiting(row, tx.now) for row in rows)


def _waiting(row: Row[Any], now: datetime) -> Waiting:
    because = _because(row, now)
    tried_again = because is Because.BACK_OFF
    return Waiting(
        task_id=row.id,
        worker=row.short_name,
        attempt=row.attempt,
        because=because,
        detail=_sentence(row, because, now),
        before=row.before if because is Because.TURN else None,
        until=row.not_before if tried_again else row.due_at,
    )


def _because(row: Row[Any], now: datetime) -> Because:
    if row.state == TaskState.EXECUTING.value:
        return Because.RUNNING
    if row.not_before is not None and row.not_before > now:
        return Because.BACK_OFF
    if row.paused_at is not None and row.published_at is None:
        return Because.PAUSED
    if not row.alive:
        return Because.NO_REPLICA
    if row.aside is not None:
        return Because.ASIDE
    return Because.DELIVERED if row.published_at is not None else Because.TURN


def _sentence(row: Row[Any], because: Because, now: datetime) -> str:
    left = _span(row.due_at - now)
    match because:
        case Because.RUNNING:
            since = _span(now - row.started_at)
            return f"running for {since} on {row.holder}, ends in {left} at most"
        case Because.BACK_OFF:
            return f"{_ordinal(row.attempt)} attempt in {_span(row.not_before - now)}"
        case Because.PAUSED:
            return f"the worker is paused, ends in {left}"
        case Because.NO_REPLICA:
            why = "every replica drains" if row.drain else "no replica alive"
            return f"{why}, ends in {left}"
        case Because.ASIDE:
            return f"every replica stands aside: {row.aside}"
        case Because.DELIVERED:
            return "delivered, waits for a free slot"
        case Because.TURN:
            return _turn(row.before)


def _turn(before: int) -> str:
    if before > BEFORE_MAX:
        return f"your turn: more than {BEFORE_MAX} before it"
    return f"your turn: {before} before it" if before else "your turn: next"


def _ordinal(number: int) -> str:
    is_teen = number % 100 in range(11, 14)
    return f"{number}{'th' if is_teen else _ORDINALS.get(number % 10, 'th')}"


def _span(length: timedelta) -> str:
    seconds = max(0, round(length.total_seconds()))
    if seconds < 2 * _MINUTE:
        return f"{seconds} s"
    if seconds < 2 * _HOUR:
        return f"{round(seconds / _MINUTE)} min"
    return f"{round(seconds / _HOUR)} h"


# Of the submitter's own tasks, by the index of the backlog: others have their turns in
# between, one of each.
_OPEN = text(
    f"""
    SELECT t.id, w.short_name, t.state, t.attempt, t.published_at, t.not_before,
           t.due_at, t.started_at, t.holder, w.paused_at, r.alive, r.drain, r.aside,
           CASE WHEN t.published_at IS NULL AND t.state = {ENQUEUED} THEN
                (SELECT count(*) FROM (
                        SELECT FROM job_task o
                         WHERE o.worker_id = t.worker_id
                           AND o.submitter_id = t.submitter_id
                           AND o.state = {ENQUEUED} AND o.published_at IS NULL
                           AND o.order_at < t.order_at LIMIT :most) c)
           END AS before
      FROM job_task t
      JOIN worker w ON w.id = t.worker_id
      CROSS JOIN LATERAL (
           SELECT count(*) FILTER (WHERE draining_at IS NULL) AS alive,
                  bool_or(draining_at IS NOT NULL) AS drain,
                  CASE WHEN bool_and(aside IS NOT NULL OR draining_at IS NOT NULL)
                       THEN min(aside) END AS aside
             FROM replica WHERE worker_id = w.id AND NOT leaving
              AND seen_at >= :alive_after) r
     WHERE t.job_id = :job AND t.state IN ({OPEN})
     ORDER BY w.short_name
    """
)
