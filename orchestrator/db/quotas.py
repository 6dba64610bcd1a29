"""
How much one user may ask for: uploads a minute, and open tasks.

Whoever is above a limit is told when to come again; nothing of the request is kept.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from orchestrator.db.states import ENQUEUED, OPEN
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import LimitExceededError

#: Seconds after which somebody with too many open tasks may look again.
_LATER_SECONDS = 10


def count_upload(tx: Transaction, user_id: UUID, *, per_minute: int) -> None:
    """
    Count one upload in the minute that runs; 0 is no limit.

    Raises:
        LimitExceededError: The user has had as many as are allowed.
    """
    if not per_minute:
        return
    minute = tx.now.replace(second=0, microsecond=0)
    counted = tx.connection.execute(
        _COUNT_UPLOAD, {"user": user_id, "minute": minute, "limit": per_minute}
    )
    if counted.first() is None:
        ahead = minute + timedelta(minutes=1) - tx.now
        raise LimitExceededError(
            f"{per_minute} uploads a minute are allowed; come again in the next one",
            retry_after_seconds=int(ahead.total_seconds()) + 1,
        )


def check_open_tasks(
    tx: Transaction, user_id: UUID, *, more: int, at_most: int
) -> None:
    """
    See whether a user may have *more* open tasks; 0 is no limit.

    Raises:
        LimitExceededError: There would be too many.
    """
    if not more:
        return
    room = find_room(tx, user_id, at_most=at_most)
    if room is not None and more > room:
        raise too_many_open_tasks(more, at_most=at_most)


def find_room(tx: Transaction, user_id: UUID, *, at_most: int) -> int | None:
    """
    Return how many more open tasks a user may have; ``None``, for an *at_most* of 0:
    any number.

    Whoever asks for the same user waits until this transaction is over, and then sees
    its tasks.
    """
    if not at_most:
        return None
    tx.one_at_a_time(f"open tasks {user_id}")
    room = tx.connection.execute(_ROOM, {"user": user_id, "limit": at_most})
    return int(room.scalar_one())


def too_many_open_tasks(more: int, *, at_most: int) -> LimitExceededError:
    """Return the error of a job that would add *more* than there is room for."""
    return LimitExceededError(
        f"{at_most} open tasks are allowed, and this job would add {more}; wait"
        " until some have ended, or cancel some",
        retry_after_seconds=_LATER_SECONDS,
    )


_COUNT_UPLOAD = text(
    """
    INSERT INTO usage (user_id, minute, uploads) VALUES (:user, :minute, 1)
    ON CONFLICT (user_id) DO UPDATE SET
           uploads = CASE WHEN usage.minute < excluded.minute THEN 1
                          ELSE usage.uploads + 1 END,
           minute = greatest(usage.minute, excluded.minute)
     WHERE usage.minute < excluded.minute OR usage.uploads < :limit
    RETURNING uploads
    """
)
# By the indexes of the backlog and of what is in flight, worker by worker, and no
# further than the limit: it costs nothing with history.
_ROOM = text(
    f"""
    SELECT :limit - count(*) FROM (
        SELECT FROM worker w CROSS JOIN LATERAL (
            SELECT FROM job_task
             WHERE worker_id = w.id AND submitter_id = :user
               AND state = {ENQUEUED} AND published_at IS NULL
            UNION ALL
            SELECT FROM job_task
             WHERE worker_id = w.id AND submitter_id = :user
               AND state IN ({OPEN}) AND published_at IS NOT NULL
        ) open_tasks LIMIT :limit
    ) counted
    """
)
