"""
What an attempt stores beside its report: how much it may be. Keeps no bytes itself.
"""

from __future__ import annotations

from datetime import timedelta

from orchestrator.db import stored_files
from orchestrator.db.stored_files import StoredFile
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import AttemptTooLargeError
from orchestrator.domain.limits import Limits

#: After the last report that may name it: a late one too comes before its job is due.
_SPARE = timedelta(days=1)


def reserve_file(tx: Transaction, file: StoredFile, *, limits: Limits) -> None:
    """
    Note a file before its bytes are kept, so that no bytes are there unnoted.

    Raises:
        AttemptTooLargeError: With it the attempt would have stored too much.
    """
    tx.one_at_a_time(f"stored {file.task_id} {file.attempt}")
    look_at = tx.now + timedelta(seconds=limits.job_seconds) + _SPARE
    stored_files.add(tx, file, look_at=look_at)
    total = stored_files.total_bytes(tx, file.task_id, file.attempt)
    if total > limits.attempt_max_bytes:
        raise AttemptTooLargeError(limits.attempt_max_bytes)
