"""
Hears from the database what has changed, and reads it: a thread, while anybody listens.

Nothing of it lies on the path of a job: what is told is told after the commit, and
whoever listens waits for this thread alone.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

import psycopg
import structlog

from orchestrator.api.events.event import Event, reset
from orchestrator.api.events.reading import Ids, read_events
from orchestrator.db.sql_errors import told
from orchestrator.db.unit_of_work import DATABASE_ERRORS, Database
from orchestrator.flow.ports import Engine

log = structlog.get_logger(__name__)

#: Seconds from one reading to the next at least, and how many times as long as it took:
#: of a burst of changes the last counts, and reading them is never what a busy process
#: does most. The first after a pause is read at once.
_PACE_SECONDS = 0.025
_PACE_TIMES = 4

#: Seconds that one wait for a notification takes; so long the thread may go on after
#: the last listener.
_WAIT_SECONDS = 0.5

#: Seconds from one question on the quiet connection to the next: silence on it is what
#: it is for, and looks like that of one that is frozen.
_ASK_SECONDS = 5.0

#: Seconds until a database that is away is asked again.
_AGAIN_SECONDS = 0.5

#: Rows whose last state is remembered, so that what has not changed is not told again.
_REMEMBERED_MAX = 50_000


class Ear:
    """
    Args:
        wanted_jobs: Gives the jobs that somebody wants, or ``None`` for all.
        tell: Is given events, in this thread.
        may_stop: Whether nobody listens any more.
    """

    def __init__(
        self,
        database: Database,
        engine: Engine,
        *,
        wanted_jobs: Callable[[], set[UUID] | None],
        tell: Callable[[list[Event]], None],
        may_stop: Callable[[], bool],
    ) -> None:
        self._database = database
        self._engine = engine
        self._wanted_jobs = wanted_jobs
        self._tell = tell
        self._may_stop = may_stop
        self._last: dict[tuple[str, str], int] = {}
        self._was_lost = False
        self._hears = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="assay-events", daemon=True
        )

    def start(self, within: float) -> None:
        """Begin to hear; return when the database tells, or after *within* seconds."""
        self._thread.start()
        self._hears.wait(within)

    def _run(self) -> None:
        while not self._may_stop():
            try:
                self._listen()
            except DATABASE_ERRORS as error:
                log.warning("events.database_unavailable", **told(error))
            except Exception:
                log.exception("events.failed")
            else:
                continue
            self._was_lost = True
            time.sleep(_AGAIN_SECONDS)

    def _listen(self) -> None:
        with self._database.raw_connection(
            application_name="assay events"
        ) as connection:
            connection.execute("LISTEN changed")
            if self._was_lost:
                # What was told meanwhile is gone; from here on nothing is.
                self._tell([reset(time.monotonic())])
                self._was_lost = False
            self._hears.set()
            ask_at = time.monotonic() + _ASK_SECONDS
            while not self._may_stop():
                began = time.monotonic()
                if began >= ask_at:
                    connection.execute("SELECT 1")
                    ask_at = began + _ASK_SECONDS
                ids = self._hear(connection)
                heard = time.monotonic()
                if ids is not None:
                    self._read(ids)
                    took = time.monotonic() - heard
                    time.sleep(max(_PACE_SECONDS, _PACE_TIMES * took) - took)

    def _hear(self, connection: psycopg.Connection[Any]) -> Ids | None:
        first = list(connection.notifies(timeout=_WAIT_SECONDS, stop_after=1))
        if not first:
            return None
        return _merged([*first, *connection.notifies(timeout=0)])

    def _read(self, ids: Ids) -> None:
        if ids.many:
            self._tell([reset(time.monotonic())])
            ids.jobs |= self._wanted_jobs() or set()
        wanted = self._wanted_jobs()
        if wanted is not None:
            # Everybody listens for a job of his own.
            ids = Ids(jobs=ids.jobs & wanted)
        if not (ids.jobs or ids.samples or ids.workers):
            return
        with self._database.uow() as tx:
            events = read_events(tx, ids, lease=self._engine.limits.lease)
        fresh = [event for event in events if self._is_new(event)]
        if fresh:
            self._tell(fresh)

    def _is_new(self, event: Event) -> bool:
        key, said = (event.kind, event.key), hash(event.data)
        if self._last.get(key) == said:
            return False
        if len(self._last) >= _REMEMBERED_MAX:
            self._last.clear()
        self._last[key] = said
        return True


def _merged(notices: Iterable[psycopg.Notify]) -> Ids:
    ids = Ids()
    for notice in notices:
        said = json.loads(notice.payload)
        ids.many = ids.many or bool(said.get("many"))
        ids.jobs.update(map(UUID, said.get("jobs", ())))
        ids.samples.update(said.get("samples", ()))
        ids.workers.update(map(UUID, said.get("workers", ())))
    return ids
