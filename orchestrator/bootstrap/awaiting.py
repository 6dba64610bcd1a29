"""
What a process says, and does, while what it needs is not there yet: it waits.

Only at the start. What goes away later is the process's own loop's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from orchestrator.bootstrap.ending import stop_signal
from orchestrator.config import Settings, require
from orchestrator.db.readiness import find_obstacle
from orchestrator.messaging.errors import BrokerError, broker_errors
from orchestrator.messaging.topology import open_connection

log = structlog.get_logger()

#: Seconds from one look to the next; what is said of it is said once a minute.
_AGAIN_SECONDS = 0.5


def await_database(settings: Settings) -> None:
    """
    Return once the database answers and is migrated.

    Raises:
        ConfigurationError: No URL is set.
        SystemExit: The process was asked to end meanwhile.
    """
    _await(_database_of(settings), stop_signal())


def await_broker(settings: Settings) -> None:
    """
    Return once the broker answers.

    Raises:
        ConfigurationError: No URL is set, or it cannot be read.
        SystemExit: The process was asked to end meanwhile.
    """
    _await(_broker_of(settings), stop_signal())


def tell_of_database(settings: Settings) -> None:
    """Say what the database lacks, while the process serves all the same."""
    _tell(_database_of(settings))


def tell_of_broker(settings: Settings) -> None:
    """Likewise of the broker."""
    _tell(_broker_of(settings))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Needed:
    """``find``: returns why it is no good yet; beside it what lines are called."""

    awaited: str
    arrived: str
    find: Callable[[], str | None]


def _tell(needed: _Needed) -> None:
    never = threading.Event()
    threading.Thread(
        target=_await, args=(needed, never), name="assay-awaiting", daemon=True
    ).start()


def _await(needed: _Needed, stopping: threading.Event) -> None:
    has_waited = False
    while (obstacle := needed.find()) is not None:
        has_waited = True
        log.warning(needed.awaited, hint=obstacle)
        if stopping.wait(_AGAIN_SECONDS):
            raise SystemExit(0)
    if has_waited:
        log.info(needed.arrived)


def _database_of(settings: Settings) -> _Needed:
    url = settings.direct_url() or require(settings.database_url, "DATABASE_URL")
    return _Needed(
        awaited="database.awaited",
        arrived="database.arrived",
        find=lambda: find_obstacle(url),
    )


def _broker_of(settings: Settings) -> _Needed:
    url = require(settings.broker_url, "BROKER_URL")

    def find() -> str | None:
        try:
            with broker_errors(url), open_connection(url) as connection:
                connection.connect()
        except BrokerError as error:
            return f"the broker does not answer at {error}"
        return None

    return _Needed(awaited="broker.awaited", arrived="broker.arrived", find=find)
