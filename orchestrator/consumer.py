"""
The consumer: reads batches of reports, has them applied, then acknowledges them.

One is active, any number stand by. It holds a session lock on a connection of its own,
on which it says something every second; a silent one is dropped by the database after
five, and another takes over. What a report does is ``flow/ingest.py``'s.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeGuard

import psycopg
import structlog
from sqlalchemy.exc import OperationalError

from orchestrator.contracts.wire import BIG_INTEGER_MAX
from orchestrator.db import stream
from orchestrator.db.sql_errors import told
from orchestrator.db.unit_of_work import (
    DATABASE_ERRORS,
    Database,
    StatementTimeoutError,
)
from orchestrator.domain.errors import SupersededError
from orchestrator.flow.ingest import Ingested, ingest
from orchestrator.flow.ports import Engine
from orchestrator.messaging.errors import BrokerUnavailableError, ForeignQueueError
from orchestrator.messaging.report_source import ReportSource

log = structlog.get_logger()

#: Any fixed number; this one spells "reports" in ASCII.
_LOCK_KEY = 0x7265706F727473

#: The database drops a holder that says nothing for this long.
_IDLE_TIMEOUT_SECONDS = 5
_KEEP_ALIVE_SECONDS = 1.0

#: How long a batch may wait for its first report.
_WAIT_SECONDS = 1.0

#: So many times a batch may take too long, which a lock that somebody holds explains;
#: then what takes too long is set apart, or nobody behind it would ever be heard.
_PATIENCE = 3

#: Lines for refused messages of one batch: a flood of them must not become one of logs.
_REFUSED_LINES = 20

#: What lines call the fields of a message that say what it is about.
_IDS = {"task": "task_id", "attempt": "attempt", "replica": "replica"}
_ID_LENGTH = 128

OpenSource = Callable[[int], ReportSource]


class ActiveLock:
    """
    The right to be the one active consumer, kept alive by a thread.

    ``lost`` is set when the connection broke: somebody else may have taken over.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._closing = threading.Event()
        self.lost = threading.Event()
        self._connection: psycopg.Connection | None = None
        self._thread: threading.Thread | None = None

    def try_acquire(self) -> bool:
        """Whether this process is the active one from now on."""
        if self._connection is None:
            self._connection = self._database.raw_connection(
                application_name="assay consumer lock"
            )
            self._connection.execute(
                f"SET idle_session_timeout = '{_IDLE_TIMEOUT_SECONDS}s'"
            )
        row = self._connection.execute(
            "SELECT pg_try_advisory_lock(%s)", (_LOCK_KEY,)
        ).fetchone()
        if row is None or not row[0]:
            return False
        self._thread = threading.Thread(
            target=self._keep_alive, name="consumer-lock", daemon=True
        )
        self._thread.start()
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout=_KEEP_ALIVE_SECONDS * 2)
        if self._connection is not None:
            self._connection.close()

    def _keep_alive(self) -> None:
        connection = self._connection
        while connection is not None and not self._closing.wait(_KEEP_ALIVE_SECONDS):
            try:
                connection.execute("SELECT 1")
            except psycopg.Error:
                self.lost.set()
                return


def consume(
    database: Database,
    open_source: OpenSource,
    *,
    engine: Engine,
    stopping: threading.Event,
) -> None:
    """Take turns at being the active consumer until *stopping* is set."""
    while not stopping.is_set():
        try:
            with ActiveLock(database) as lock:
                if _wait_for_turn(lock, stopping):
                    _take_turn(database, open_source, lock, engine, stopping)
        except DATABASE_ERRORS as error:
            log.warning("consumer.database_unavailable", **told(error))
        except SupersededError:
            log.warning("consumer.superseded")
        except Exception:
            log.exception("consumer.failed")
        stopping.wait(0.5)


def _wait_for_turn(lock: ActiveLock, stopping: threading.Event) -> bool:
    while not stopping.is_set():
        if lock.try_acquire():
            return True
        # Whoever stands by also speaks within the idle timeout.
        stopping.wait(_KEEP_ALIVE_SECONDS / 2)
    return False


def _take_turn(
    database: Database,
    open_source: OpenSource,
    lock: ActiveLock,
    engine: Engine,
    stopping: threading.Event,
) -> None:
    with database.uow() as tx:
        epoch = stream.next_epoch(tx)
    source = open_source(epoch)
    log.info("consumer.activated", epoch=epoch)
    timeouts = 0
    try:
        while not (stopping.is_set() or lock.lost.is_set()):
            patient = timeouts < _PATIENCE
            timed_out = _step(database, source, engine, stopping, patient=patient)
            timeouts = timeouts + 1 if timed_out else 0
    finally:
        source.close()


def _step(
    database: Database,
    source: ReportSource,
    engine: Engine,
    stopping: threading.Event,
    *,
    patient: bool,
) -> bool:
    """Apply one batch; return whether it has to be read again for it took too long."""
    try:
        batch = source.batch(wait_seconds=_WAIT_SECONDS)
        if source.was_interrupted():
            _open_gap(database, stopping)
        if not batch:
            return False
        done = ingest(database, batch, engine=engine, patient=patient)
        source.ack()
    except BrokerUnavailableError as error:
        log.warning("consumer.broker_unavailable", error=str(error))
        stopping.wait(0.5)
    except ForeignQueueError as error:
        log.warning("queue.foreign", **error.queue.told())
        stopping.wait(1.0)
    except OperationalError as error:
        source.requeue()
        log.warning("consumer.database_unavailable", **told(error))
        stopping.wait(0.2)
    except StatementTimeoutError as error:
        source.requeue()
        log.warning("consumer.batch_timed_out", error=str(error))
        return True
    else:
        _log_refused(done)
    return False


def _open_gap(database: Database, stopping: threading.Event) -> None:
    # However short it was: canaries may have come through before and after, and what
    # was reported in between is gone with the broker. The source says it once, so a
    # database that is away at the same time is waited for.
    while not stopping.is_set():
        try:
            with database.uow() as tx:
                stream.open_gap(tx)
        except OperationalError as error:
            log.warning("consumer.database_unavailable", **told(error))
            stopping.wait(0.2)
        else:
            return


def _log_refused(done: Ingested) -> None:
    for message in done.refused[:_REFUSED_LINES]:
        log.warning(
            "report.rejected", reason=message.reason, **_said_about(message.body)
        )
    if done.rejected > _REFUSED_LINES:
        log.warning("report.rejected", more=done.rejected - _REFUSED_LINES)


def _said_about(body: bytes) -> dict[str, str | int]:
    """Return which attempt a refused message names; nobody vouches for it."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(said, dict):
        return {}
    named = {key: said.get(name) for key, name in _IDS.items()}
    return {
        key: _printable(value) if isinstance(value, str) else value
        for key, value in named.items()
        if isinstance(value, str) or _is_small(value)
    }


def _printable(text: str) -> str:
    # Half a surrogate pair would stop the log, an escape sequence steer a terminal.
    return ascii(text[:_ID_LENGTH])[1:-1]


def _is_small(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and abs(value) <= BIG_INTEGER_MAX
