"""
The unit of work: the only place that commits.

``with database.uow() as tx:`` is one request, one batch or one sweep. Leaving it
commits, an exception rolls back. What was notified goes out after the commit.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, Protocol, TypeVar
from uuid import UUID

import psycopg
from pydantic_core import to_json
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError

from orchestrator.db.link import KEPT_ALIVE, BriefConnection, limit_waiting
from orchestrator.db.registry import KnownRegistry, Registry
from orchestrator.db.service_clock import Beginning, ServiceClock
from orchestrator.db.sql_errors import (
    QUERY_CANCELED,
    SYNTAX_OR_ACCESS,
    is_transient,
    sql_state,
    treat_away_alike,
)
from orchestrator.db.tables import SERVICE_TIME

T = TypeVar("T")

Channel = Literal["work", "stop", "changed", "deliver"]

#: On ``work``: there is a job that was not there. Without it: a slot is free, or the
#: backlog has grown otherwise.
NEW_JOB: Final = "job"

#: Milliseconds. A batch that takes longer holds up everybody behind it.
STATEMENT_TIMEOUT_MS = 5_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 5_000

_SESSION: Final[Mapping[str, str]] = {
    "statement_timeout": str(STATEMENT_TIMEOUT_MS),
    "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
    "timezone": "UTC",
    # Statements here are short, and take by estimate: compiling the claim took ten
    # times as long as running it.
    "jit": "off",
}
_SET_LOCAL = text(
    "SELECT "
    + ", ".join(
        f"set_config('{name}', '{value}', true)" for name, value in _SESSION.items()
    )
)

#: Seconds between two rounds of notifications: a burst of commits wakes nobody twice.
NOTIFY_INTERVAL_SECONDS = 0.01

#: Ids in one notification of what has changed; for more, who watches reads everything.
CHANGED_MAX: Final = 200
_MANY: Final = '{"many":true}'

#: Bytes. PostgreSQL refuses payloads of 8000 and more.
NOTIFY_MAX_BYTES = 7_900

_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")
_TRY_ONE_AT_A_TIME = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:key, 0))")


@dataclass(slots=True)
class Changed:
    """Of what a transaction changed the state: who watches it reads it anew."""

    jobs: set[UUID] = field(default_factory=set)
    #: Whose verdict was said by hand.
    samples: set[str] = field(default_factory=set)
    #: Paused, resumed, or a replica of which came or went.
    workers: set[UUID] = field(default_factory=set)

    def payload(self) -> str | None:
        """Return it as a notification; ``None``: nothing was changed."""
        total = len(self.jobs) + len(self.samples) + len(self.workers)
        if not total:
            return None
        if total > CHANGED_MAX:
            return _MANY
        said = {
            "jobs": [str(job_id) for job_id in self.jobs],
            "samples": list(self.samples),
            "workers": [str(worker_id) for worker_id in self.workers],
        }
        named = {name: ids for name, ids in said.items() if ids}
        payload = json.dumps(named, separators=(",", ":"))
        return payload if len(payload) <= NOTIFY_MAX_BYTES else _MANY


@dataclass(slots=True)
class Transaction:
    """
    One open transaction.

    ``now`` is the service's time at which it began, ``domain/service_time.py``: the one
    clock of everything below the API. ``is_witness``: whether others may go by it.
    """

    connection: Connection
    now: datetime
    is_witness: bool = True
    notices: list[tuple[Channel, str]] = field(default_factory=list)
    changed: Changed = field(default_factory=Changed)
    registry: Registry | None = None

    def __post_init__(self) -> None:
        # For the times of creation, which no statement names: tables.py.
        self.connection.info[SERVICE_TIME] = self.now

    def kept(self, key: Hashable, read: Callable[[Transaction], T]) -> T:
        """
        Return what *read* returned last, if no worker, policy, rule or customer has
        changed since. Not for a transaction that changes one itself.

        Args:
            key: What is read, and all that it depends on beside those tables.
        """
        if self.registry is None:
            return read(self)
        return self.registry.kept(key, lambda: read(self))

    def notify(self, channel: Channel, payload: str = "") -> None:
        """Wake whoever listens, after the commit; lost if the process dies before."""
        self.notices.append((channel, payload))

    def one_at_a_time(self, key: str) -> None:
        """Wait for every open transaction that said the same *key*, until its end."""
        self.connection.execute(_ONE_AT_A_TIME, {"key": key})

    def try_one_at_a_time(self, key: str) -> bool:
        """As :meth:`one_at_a_time`, but wait for nobody: whether nobody has said it."""
        taken = self.connection.execute(_TRY_ONE_AT_A_TIME, {"key": key})
        return bool(taken.scalar_one())

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """
        Open a part of the transaction that may fail alone: the rest of it stays.

        What was notified in it is forgotten with it; what it may have changed is read
        anew all the same.

        Raises:
            Exception: As :func:`naming_failures`.
        """
        notices = len(self.notices)
        try:
            with naming_failures(), self.connection.begin_nested():
                yield
        except BaseException:
            del self.notices[notices:]
            raise


@contextmanager
def naming_failures() -> Iterator[None]:
    """
    Say whose fault it is that a statement failed.

    Raises:
        StatementFailedError: The database did not take a value, and will not later.
        StatementTimeoutError: It took too long: too much, or behind a lock.
        OperationalError: It is away: the whole transaction is lost.
        DBAPIError: It is not the database that this code knows.
    """
    try:
        yield
    except StatementError as error:
        state = sql_state(error)
        if state == QUERY_CANCELED:
            raise StatementTimeoutError("a statement took too long") from error
        if is_transient(error) or state.startswith(SYNTAX_OR_ACCESS):
            raise
        raise StatementFailedError(type(error).__name__) from error


class Reader(Protocol):
    """What somebody needs who only reads: a transaction, or a :class:`Glance`."""

    @property
    def connection(self) -> Connection:
        """Where statements go."""

    @property
    def now(self) -> datetime:
        """The service's time."""


@dataclass(frozen=True, slots=True)
class Glance:
    """A connection on which each statement stands for itself."""

    connection: Connection
    _read_clock: Callable[[Connection], datetime]

    @property
    def now(self) -> datetime:
        """The service's time, asked for anew."""
        return self._read_clock(self.connection)


#: What any statement may raise, beside the two of a savepoint.
DATABASE_ERRORS = (SQLAlchemyError, psycopg.Error)


class StatementFailedError(Exception):
    """A value is at fault; its text is the error's kind."""


class StatementTimeoutError(Exception):
    """A statement took longer than the database lets any; trying again may help."""


class Database:
    """
    The engine and what goes with it; one per process, safe to share by threads.

    Args:
        url: ``postgresql+psycopg://…``.
        direct_url: Of the server itself, where *url* leads to a pooler that gives each
            transaction another session.
        pool_size: Connections kept; as many again may be opened for a moment.
    """

    def __init__(
        self, url: str, *, direct_url: str | None = None, pool_size: int = 5
    ) -> None:
        self.url = url
        self._direct_url = direct_url or url
        self._is_pooled = direct_url is not None
        self.engine = _engine(url, pool_size=pool_size, is_pooled=self._is_pooled)
        self._reading = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._clock = ServiceClock()
        self._registry = KnownRegistry()
        self._notifier = Notifier(self)

    @contextmanager
    def uow(self) -> Iterator[Transaction]:
        """
        Open a transaction, commit it at the end, then send its notifications.

        Raises:
            OperationalError: The database is away, or a lock took too long; nothing was
                written, and trying again is safe.
        """
        with self._begin() as tx:
            yield tx
        for channel, payload in tx.notices:
            self._notifier.send(channel, payload)
        changed = tx.changed.payload()
        if changed is not None:
            self._notifier.send("changed", changed)

    def glance(self, look: Callable[[Glance], T]) -> T:
        """
        Return what *look* found. It reads only, each statement for itself: no
        ``BEGIN``, no ``COMMIT``; and it may be asked twice.

        Raises:
            OperationalError: The database is away; trying again is safe.
        """
        try:
            return self._glance(look)
        except DBAPIError as error:
            # A restarted database costs no request: what was kept is thrown away.
            if not error.connection_invalidated:
                raise
            return self._glance(look)

    def _glance(self, look: Callable[[Glance], T]) -> T:
        if not self._is_pooled:
            with self._reading.connect() as connection:
                return look(Glance(connection, self._read_clock))
        # A pooler's sessions have no limits but those of a transaction.
        with self.engine.begin() as connection:
            connection.execute(_SET_LOCAL)
            return look(Glance(connection, self._read_clock))

    @contextmanager
    def _begin(self) -> Iterator[Transaction]:
        opened, connection, beginning = self._open()
        with opened:
            yield Transaction(
                connection,
                now=beginning.now,
                is_witness=self._clock.is_witness,
                registry=self._registry.at(beginning.revision),
            )

    def _open(self) -> tuple[ExitStack, Connection, Beginning]:
        """Return a connection that answers, how it begins, and what ends it."""
        may_be_dead = True
        while True:
            try:
                with ExitStack() as opened:
                    connection = opened.enter_context(self.engine.begin())
                    if self._is_pooled:
                        connection.execute(_SET_LOCAL)
                    beginning = self._clock.read(connection)
                    if beginning is not None:
                        return opened.pop_all(), connection, beginning
            except DBAPIError as error:
                # As above.
                if not (may_be_dead and error.connection_invalidated):
                    raise
                may_be_dead = False
            else:
                self._clock.correct(self.engine)

    def _read_clock(self, connection: Connection) -> datetime:
        while (beginning := self._clock.read(connection)) is None:
            self._clock.correct(self.engine)
        return beginning.now

    def raw_connection(self, *, application_name: str) -> psycopg.Connection:
        """Open an autocommit connection outside the pool: for LISTEN and for locks."""
        return BriefConnection.connect(
            driver_url(self._direct_url),
            autocommit=True,
            application_name=application_name,
            **KEPT_ALIVE,
        )

    def close(self) -> None:
        """Close every connection."""
        self._notifier.close()
        self.engine.dispose()


class Notifier:
    """
    Sends NOTIFY on a connection of its own, at most one round per 10 ms and process.

    Best effort: whoever listens also has a tick.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: dict[tuple[Channel, str], None] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def send(self, channel: Channel, payload: str) -> None:
        """Queue one notification; equal ones of a round go out once."""
        with self._changed:
            self._pending[channel, payload] = None
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="notifier", daemon=True
                )
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Send what is pending and stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout=2)

    def _run(self) -> None:
        connection: psycopg.Connection | None = None
        pause = threading.Event()
        while batch := self._take():
            connection = self._deliver(connection, batch)
            pause.wait(NOTIFY_INTERVAL_SECONDS)
        if connection is not None:
            connection.close()

    def _take(self) -> list[tuple[Channel, str]]:
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._closed)
            batch = list(self._pending)
            self._pending.clear()
            return batch

    def _deliver(
        self, connection: psycopg.Connection | None, batch: list[tuple[Channel, str]]
    ) -> psycopg.Connection | None:
        try:
            if connection is None or connection.closed:
                connection = self._database.raw_connection(
                    application_name="assay notify"
                )
            with connection.cursor() as cursor:
                cursor.executemany("SELECT pg_notify(%s, %s)", batch)
        except psycopg.Error:
            # The database is away: its listeners are too, and they have a tick.
            if connection is not None:
                with suppress(psycopg.Error):
                    connection.close()
            return None
        return connection


def driver_url(url: str) -> str:
    """Return the URL as psycopg itself reads it."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def _engine(url: str, *, pool_size: int, is_pooled: bool) -> Engine:
    connect_args: dict[str, Any] = dict(KEPT_ALIVE)
    if is_pooled:
        # Its sessions are anybody's: nothing may be prepared in one, or set.
        connect_args["prepare_threshold"] = None
    else:
        connect_args["options"] = " ".join(
            f"-c {name}={value}" for name, value in _SESSION.items()
        )
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        json_serializer=json_text,
        # It reads all that the other writes; pydantic's own stops at fewer levels.
        json_deserializer=json.loads,
        # An error is logged, and values may be content or a key's digest.
        hide_parameters=True,
        connect_args=connect_args,
    )
    limit_waiting(engine)
    treat_away_alike(engine)
    return engine


# A NUL in JSON, unless the backslash itself is escaped.
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def json_text(value: object) -> str:
    """
    Return JSON that the database can hold: jsonb has every character but NUL, and what
    workers find in samples has those. Ids and times become text, infinity null.
    """
    dumped = to_json(value, inf_nan_mode="null").decode()
    # Looking for it costs a hundredth of replacing it.
    return _NUL.sub(r"\1\\ufffd", dumped) if "\\u0000" in dumped else dumped
