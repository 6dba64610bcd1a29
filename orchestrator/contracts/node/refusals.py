"""
What a Celery process says, and how long it waits, when a broker that is there refuses:
it takes no writes, its memory is full, or a queue is none of ours.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery.worker import state

from orchestrator.contracts.broker_words import words
from orchestrator.contracts.foreign import foreign_key, read_refusal

log = logging.getLogger(__name__)

#: Where Celery's consumer says that it lost its connection.
_CELERYS_LOG = logging.getLogger("celery.worker.consumer.consumer")

#: Of Redis, in a URL. Kombu itself does not know it of a socket's.
_DATABASE = re.compile(r"[?&]virtual_host=(\d+)|://[^/]*/(\d+)(?:\?|$)")

#: Seconds from one try to the next. Soon after it was mended elsewhere, work goes on.
_PAUSE_SECONDS = 1.0
_LOOK_SECONDS = 0.1


def complain(error: BaseException, app: Any) -> None:
    """
    Write down what the broker refused.

    Args:
        app: Celery's; its own queue is the one that Redis does not name.
    """
    queue = app.conf.task_default_queue
    foreign = read_refusal(str(error))
    if foreign is None and "WRONGTYPE" in str(error):
        named = _DATABASE.search(app.conf.broker_url)
        database = (named[1] or named[2]) if named else "0"
        foreign = foreign_key(queue, wanted="list", present="?", database=database)
    if foreign is not None:
        log.warning("queue.foreign", extra=foreign.told())
        return
    log.warning("broker.refused", extra={"queue": queue, "error": words(error)})


def pause() -> None:
    """Wait before the next try, unless the process is to end."""
    deadline = time.monotonic() + _PAUSE_SECONDS
    while time.monotonic() < deadline:
        state.maybe_shutdown()
        time.sleep(_LOOK_SECONDS)


@contextmanager
def in_our_words() -> Iterator[None]:
    """Keep Celery's consumer from speaking of what we speak of."""
    _CELERYS_LOG.disabled = True
    try:
        yield
    finally:
        _CELERYS_LOG.disabled = False
