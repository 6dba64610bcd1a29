"""
Which keys of Redis are ours, and which of them are something else.

A list is made by its pushes, and nobody declares it: another program's key of the same
name is found out only by the command that fails on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import redis

from orchestrator.contracts.foreign import ForeignQueue, foreign_key
from orchestrator.contracts.names import MAINTENANCE, REPORTS, worker_queue_name
from orchestrator.messaging.errors import ForeignQueueError

TAKEN: Final = "reports.taken"
EPOCH: Final = "reports.epoch"

#: What the reader of reports has, and of what kind.
REPORT_KEYS: Final[Mapping[str, str]] = {
    REPORTS: "list",
    TAKEN: "list",
    EPOCH: "string",
}

SHARED_KEYS: Final[Mapping[str, str]] = {**REPORT_KEYS, MAINTENANCE: "list"}


def worker_key(worker: str) -> str:
    """Return the key of a worker's queue."""
    return worker_queue_name(worker)


def find_foreign(
    client: redis.Redis, wanted: Mapping[str, str]
) -> dict[str, ForeignQueue]:
    """Return those of the keys that are there and of another kind than *wanted*."""
    pipe = client.pipeline(transaction=False)
    for name in wanted:
        pipe.type(name)
    database = str(client.connection_pool.connection_kwargs.get("db") or 0)
    kinds = zip(wanted, (kind.decode() for kind in pipe.execute()), strict=True)
    return {
        name: foreign_key(name, wanted=wanted[name], present=kind, database=database)
        for name, kind in kinds
        if kind not in {wanted[name], "none"}
    }


@contextmanager
def naming_foreign(client: redis.Redis, wanted: Mapping[str, str]) -> Iterator[None]:
    """
    Say which key a command failed on, where Redis says only that one was wrong.

    Raises:
        ForeignQueueError: One of *wanted* is of another kind.
    """
    try:
        yield
    except redis.ResponseError as error:
        if "WRONGTYPE" not in str(error):
            raise
        for queue in find_foreign(client, wanted).values():
            raise ForeignQueueError(queue) from error
        # Mended while we asked.
        raise
