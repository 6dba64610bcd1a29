"""
The dispatcher: the only process that writes towards workers. A loop around
``flow/dispatch.py`` that wakes on NOTIFY ``work`` or its tick, and sends ``stop``.

Any number may run at once; the window is counted under a lock.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psycopg
import structlog

from orchestrator.catalog.workers import broker_accounts
from orchestrator.contracts.assignment import parse_celery_id
from orchestrator.db import queues, workers
from orchestrator.db.backlog import Claim
from orchestrator.db.sql_errors import told
from orchestrator.db.unit_of_work import DATABASE_ERRORS, NEW_JOB, Database
from orchestrator.flow.dispatch import dispatch
from orchestrator.flow.ports import Engine
from orchestrator.messaging.control import Stopper
from orchestrator.messaging.errors import BrokerError
from orchestrator.messaging.publisher import Publisher
from orchestrator.store import Locator

log = structlog.get_logger()

#: Seconds between two rounds at most: work whose notice was lost waits no longer.
_TICK_SECONDS = 0.5

#: Seconds between two rounds at least: under load every commit of the consumer wakes
#: us, and one round for several of them costs a fraction. An idle one starts at once,
#: and so does a job that comes when there was nothing to send.
_PACE_SECONDS = 0.02

#: Seconds from one question on the connection that listens to the next: silence on it
#: is what it is for, and looks like the silence of one that is frozen.
_ASK_SECONDS = 5.0

#: Seconds from one look whether the broker knows the workers, and whether its queues
#: are as they must be, to the next.
_ADMIT_SECONDS = 5.0

#: Seconds for which a worker gets nothing whose queue is not as it must be.
_SPOILT_SECONDS = 5.0

#: Seconds after a broker refused: no busy loop against a broker that is away.
_REFUSED_PAUSE_SECONDS = 0.5

#: Attempts that a line names; one may be of thousands.
_NAMED_MAX = 10


class Dispatcher:
    """
    Args:
        locate: Where a replica finds a sample's bytes.
    """

    def __init__(
        self,
        database: Database,
        publisher: Publisher,
        stopper: Stopper,
        *,
        engine: Engine,
        locate: Locator,
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._stopper = stopper
        self._engine = engine
        self._locate = locate
        self._admit_at = 0.0
        self._resting: dict[str, float] = {}

    def run(self, stopping: threading.Event) -> None:
        """Dispatch until *stopping* is set; a lost database is waited for."""
        while not stopping.is_set():
            try:
                self._listen(stopping)
            except DATABASE_ERRORS as error:
                log.warning("dispatcher.database_unavailable", **told(error))
            except Exception:
                log.exception("dispatcher.failed")
            stopping.wait(_REFUSED_PAUSE_SECONDS)

    def _listen(self, stopping: threading.Event) -> None:
        with self._database.raw_connection(
            application_name="assay dispatcher"
        ) as connection:
            connection.execute("LISTEN work")
            connection.execute("LISTEN stop")
            ask_at = time.monotonic() + _ASK_SECONDS
            while not stopping.is_set():
                began = time.monotonic()
                if began >= ask_at:
                    connection.execute("SELECT 1")
                    ask_at = began + _ASK_SECONDS
                self._admit(began)
                has_sent = self._round(stopping)
                has_job = self._hear(connection, _TICK_SECONDS)
                next_at = began + _PACE_SECONDS
                if has_sent:
                    stopping.wait(next_at - time.monotonic())
                while not has_job and (left := next_at - time.monotonic()) > 0:
                    has_job = self._hear(connection, left)

    def _admit(self, now: float) -> None:
        """Let every enrolled worker into the broker, which may have forgotten them."""
        if now < self._admit_at:
            return
        self._admit_at = now + _ADMIT_SECONDS
        with self._database.uow() as tx:
            accounts = broker_accounts(tx, keys=self._engine.keys)
        try:
            self._look([account.worker for account in accounts])
            self._publisher.admit(accounts)
        except BrokerError as error:
            log.warning("broker.accounts_not_written", error=str(error))

    def _look(self, names: Sequence[str]) -> None:
        """Tell everybody which queues are none of ours."""
        found = self._publisher.find_foreign(names, make=True)
        for queue in found:
            log.warning("queue.foreign", **queue.told())
        with self._database.uow() as tx:
            queues.replace_foreign(tx, found)

    def _round(self, stopping: threading.Event) -> bool:
        """Fill the windows; return whether anything was sent."""
        has_sent, more = False, True
        while more and not stopping.is_set():
            outcome = dispatch(
                self._database,
                self._publisher,
                engine=self._engine,
                locate=self._locate,
                leave_out=self._left_out(),
            )
            self._leave_out(outcome.spoilt)
            others_refused = outcome.refused and not outcome.spoilt
            more = outcome.more and not others_refused
            has_sent = has_sent or bool(outcome.published)
            for claim in outcome.published:
                log.info("task.dispatched", **_ids(claim))
            if outcome.refused:
                # Nothing happened to any of them: no line for each, twice a second. Nor
                # their number, by which no line would be like another.
                log.warning("broker.refused", error=outcome.error)
                if others_refused:
                    stopping.wait(_REFUSED_PAUSE_SECONDS)
        return has_sent

    def _left_out(self) -> set[str]:
        now = time.monotonic()
        return {worker for worker, until in self._resting.items() if until > now}

    def _leave_out(self, spoilt: Iterable[str]) -> None:
        # One worker's queue is that worker's trouble: it must not take the room of a
        # round, again and again, from all the others.
        until = time.monotonic() + _SPOILT_SECONDS
        self._resting.update(dict.fromkeys(spoilt, until))

    def _hear(self, connection: psycopg.Connection, seconds: float) -> bool:
        """
        Wait for a notice, and send the stops among those that came.

        Returns:
            Whether one of them is of a new job.
        """
        deadline = time.monotonic() + seconds
        has_job = False
        for notice in connection.notifies(timeout=seconds, stop_after=1):
            if notice.channel == "stop":
                self._send_stop(json.loads(notice.payload))
            has_job = has_job or notice.payload == NEW_JOB
            if time.monotonic() > deadline:
                break
        return has_job

    def _send_stop(self, told: Mapping[str, Any]) -> None:
        attempts = [
            key
            for name in told["attempts"]
            if (key := parse_celery_id(name)) is not None
        ]
        try:
            secrets = self._secrets_of(told["replica"])
            self._stopper.stop(
                told["replica"], attempts, secrets=secrets, drain=told.get("drain")
            )
        except BrokerError as error:
            # The next heartbeat that lists it brings the notice back.
            log.warning(
                "replica.stop_failed",
                replica=told["replica"],
                attempts=told["attempts"][:_NAMED_MAX],
                count=len(attempts),
                error=str(error),
            )

    def _secrets_of(self, replica: str) -> Sequence[str]:
        with self._database.uow() as tx:
            found = workers.find_replicas_enrolment(tx, replica)
        # A replica that has never been heard holds nothing that could be stopped.
        return self._engine.keys.enrolment_secrets(*found) if found else ()


def _ids(claim: Claim) -> dict[str, object]:
    task = str(claim.task_id)
    return {"job": str(claim.job_id), "task": task, "attempt": claim.attempt}
