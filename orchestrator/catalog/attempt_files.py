"""
What an attempt stores beside its report: how much it may be. Keeps no bytes itself.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from orchestrator.contracts.wire import LIST_MAX
from orchestrator.db import stored_files
from orchestrator.db.stored_files import StoredFile
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import AttemptTooLargeError
from orchestrator.domain.limits import Limits

#: After the last report that may name it: a late one too comes before its job is due.
_SPARE = timedelta(days=1)

#: No report can name more, and of empty ones no number of bytes is too many.
FILES_MAX = LIST_MAX


def reserve_file(tx: Transaction, file: StoredFile, *, limits: Limits) -> None:
    """
    Note a file before its bytes are kept, so that no bytes are there unnoted.

    Raises:
        AttemptTooLargeError: With it the attempt would have stored too much, or too
            many.
    """
    tx.one_at_a_time(f"stored {file.task_id} {file.attempt}")
    look_at = tx.now + timedelta(seconds=limits.job_seconds) + _SPARE
    stored_files.add(tx, file, look_at=look_at)
    stored = stored_files.sum_up(tx, file.task_id, file.attempt)
    if stored.files > FILES_MAX or stored.total_bytes > limits.attempt_max_bytes:
        raise too_large(limits)


def room_for_file(
    tx: Transaction, task_id: UUID, attempt: int, *, limits: Limits
) -> int:
    """
    Return how many bytes of one more file are worth receiving.

    What is left; and as many as the largest that is there has, for it may be sent again
    when its answer was lost.
    """
    stored = stored_files.sum_up(tx, task_id, attempt)
    left = limits.attempt_max_bytes - stored.total_bytes
    return max(left if stored.files < FILES_MAX else 0, stored.largest_bytes)


def too_large(limits: Limits) -> AttemptTooLargeError:
    """Return the error of an attempt that stores too much, or too many."""
    return AttemptTooLargeError(
        files_max=FILES_MAX, limit_bytes=limits.attempt_max_bytes
    )
