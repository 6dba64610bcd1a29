"""
Removes the bytes that attempts have stored and that nothing names: no report came, or
what named them is gone. Samples and people's evidence are none of its business.
"""

from __future__ import annotations

from datetime import timedelta

from orchestrator.db import stored_files, stream, sweeps
from orchestrator.db.unit_of_work import Database
from orchestrator.store import SampleStore

#: At most so many per round, which must not hold up the tick; a store that is far away
#: takes some 50 ms for each.
_FILES = 20

#: What is named now is looked at again after so long.
_NAMED = timedelta(days=30)

#: Bytes that were written lately may be somebody's who has yet to commit the row.
_WRITTEN_LATELY = timedelta(days=1)


def sweep_files(database: Database, store: SampleStore) -> int:
    """
    Do one round; what is left waits for the next.

    Returns:
        How many files were forgotten.

    Raises:
        OperationalError: The database is away.
        StoreUnavailableError: The store is; nothing was forgotten.
    """
    with database.uow() as tx:
        if not sweeps.try_lock_sweep(tx, "files"):
            return 0
        # By what has been read: a report that waits may name what is long due.
        due = stream.get_stream(tx).watermark.at
        stored_files.look_again(tx, due=due, at=tx.now + _NAMED, limit=_FILES)
        forgotten, of_nobody = stored_files.delete_unnamed(tx, due=due, limit=_FILES)
        # Before the commit: bytes without a row would stay for ever.
        if of_nobody:
            store.delete_older(of_nobody, older_than=_WRITTEN_LATELY)
    return forgotten
