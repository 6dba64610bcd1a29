"""
The loop that delivers: claims what is due, has it called, writes down what came of it.

What it has claimed when it dies is somebody else's after a lease: at least once, with
the same id and the same body on every try. No transaction is open while a receiver is
waited for.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from uuid import UUID

import psycopg
import structlog

from orchestrator.contracts.token import KeyRing
from orchestrator.db import webhooks
from orchestrator.db.sql_errors import told
from orchestrator.db.unit_of_work import DATABASE_ERRORS, Database, Transaction
from orchestrator.db.webhooks import Claimed, Outcome
from orchestrator.deliver.results import Results, write
from orchestrator.deliver.sender import Answer, Call, Sender

log = structlog.get_logger()

#: Lanes of calls at the same time.
AT_ONCE = 16

#: Seconds after which a lane calls no more: its lease is longer by two calls.
_LANE_SECONDS = 10.0

#: Seconds between two rounds at most: what is tried again is due by the clock alone.
_TICK_SECONDS = 1.0

#: Seconds until a database that is away is asked again.
_AGAIN_SECONDS = 0.5

#: Seconds that one wait for a notification takes, and from one question on the quiet
#: connection to the next: silence looks like that of one that is frozen.
_WAIT_SECONDS = 0.5
_ASK_SECONDS = 5.0

#: Seconds for calls that are under way when it is asked to end; others make them again.
_END_SECONDS = 5.0

#: Gives what deliveries tell of, as JSON; nothing of what is not kept any more.
Tell = Callable[[Transaction, Sequence[Claimed]], Mapping[UUID, str]]

#: Of a lane: what is sent, and as which delivery.
Calls = Sequence[tuple[Claimed, Call]]

_NOT_KEPT = "what it tells of is not kept any more, or cannot be told"


class Deliverer:
    """
    Args:
        tell: Gives what a message says of a row, when it is tried first.
        keys: From which the secrets of webhooks follow.
    """

    def __init__(
        self, database: Database, sender: Sender, *, tell: Tell, keys: KeyRing
    ) -> None:
        self._database = database
        self._sender = sender
        self._tell = tell
        self._keys = keys
        self._done: queue.SimpleQueue[Results] = queue.SimpleQueue()
        self._under_way = 0
        self._wake = threading.Event()
        self._callers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="assay-deliver")

    def run(self, stopping: threading.Event) -> None:
        """Deliver until *stopping* is set; a lost database is waited for."""
        threading.Thread(
            target=self._listen, args=(stopping,), name="assay-listen", daemon=True
        ).start()
        unwritten: list[Results] = []
        while not stopping.is_set():
            self._wake.wait(_TICK_SECONDS)
            self._wake.clear()
            try:
                self._round(unwritten)
            except DATABASE_ERRORS as error:
                log.warning("deliver.database_unavailable", **told(error))
                stopping.wait(_AGAIN_SECONDS)
            except Exception:
                log.exception("deliver.failed")
                stopping.wait(_AGAIN_SECONDS)
        self._end(unwritten)

    def _round(self, unwritten: list[Results]) -> None:
        """Write down what came of calls, then make as many as there is room for."""
        self._gather(unwritten)
        room = AT_ONCE - self._under_way
        with self._database.uow() as tx:
            write(tx, unwritten)
            lanes = self._claim(tx, room) if room else []
        unwritten.clear()
        for lane in lanes:
            self._under_way += 1
            self._callers.submit(self._call, lane)

    def _gather(self, unwritten: list[Results]) -> None:
        with suppress(queue.Empty):
            while True:
                unwritten.append(self._done.get_nowait())
                self._under_way -= 1

    def _claim(self, tx: Transaction, room: int) -> list[Calls]:
        lanes = webhooks.claim_deliveries(tx, lanes=room)
        new = [each for lane in lanes for each in lane if each.body is None]
        data = self._told(tx, new) if new else {}
        bodies = {
            each.id: _body(each, data[each.id]) for each in new if each.id in data
        }
        webhooks.save_bodies(tx, bodies)
        lost = [each for each in new if each.id not in data]
        webhooks.save_outcomes(
            tx, [Outcome(delivery=each, error=_NOT_KEPT) for each in lost]
        )
        return [
            [
                (each, self._as_call(each, each.body or bodies[each.id], tx.now))
                for each in lane
                if each not in lost
            ]
            for lane in lanes
        ]

    def _told(self, tx: Transaction, new: Sequence[Claimed]) -> Mapping[UUID, str]:
        """Return what they say; one of which nothing can be said stops no other."""
        try:
            return self._tell(tx, new)
        except DATABASE_ERRORS:
            raise
        except Exception:
            log.exception("deliver.not_told", number=len(new))
        told: dict[UUID, str] = {}
        for each in new:
            with suppress(Exception):
                told |= self._tell(tx, [each])
        return told

    def _as_call(self, claimed: Claimed, body: str, now: datetime) -> Call:
        return Call(
            url=claimed.url,
            message_id=str(claimed.id),
            body=body,
            secrets=self._keys.webhook_secrets(claimed.webhook_id),
            sent_at=now,
        )

    def _call(self, lane: Calls) -> None:
        """Make the calls of a lane, up to the first that is not taken."""
        results: list[tuple[Claimed, Answer | None]] = []
        until = time.monotonic() + _LANE_SECONDS
        goes_on = True
        try:
            for claimed, call in lane:
                goes_on = goes_on and time.monotonic() < until
                answer = self._sender.send(call) if goes_on else None
                goes_on = answer is not None and answer.error is None
                results.append((claimed, answer))
        except Exception:
            # The rest of it is somebody's after the lease.
            log.exception("deliver.call_failed")
        finally:
            self._done.put(results)
            self._wake.set()

    def _end(self, unwritten: list[Results]) -> None:
        until = time.monotonic() + _END_SECONDS
        self._gather(unwritten)
        while self._under_way and time.monotonic() < until:
            self._wake.wait(until - time.monotonic())
            self._wake.clear()
            self._gather(unwritten)
        with suppress(*DATABASE_ERRORS), self._database.uow() as tx:
            write(tx, unwritten)
        self._callers.shutdown(wait=False, cancel_futures=True)
        self._sender.close()

    def _listen(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                self._hear(stopping)
            except DATABASE_ERRORS:
                # The rounds meet the same, and say so.
                stopping.wait(_AGAIN_SECONDS)

    def _hear(self, stopping: threading.Event) -> None:
        with self._database.raw_connection(
            application_name="assay deliver"
        ) as connection:
            connection.execute("LISTEN deliver")
            ask_at = time.monotonic() + _ASK_SECONDS
            while not stopping.is_set():
                if self._heard(connection):
                    self._wake.set()
                if time.monotonic() >= ask_at:
                    connection.execute("SELECT 1")
                    ask_at = time.monotonic() + _ASK_SECONDS

    @staticmethod
    def _heard(connection: psycopg.Connection) -> bool:
        return bool(list(connection.notifies(timeout=_WAIT_SECONDS, stop_after=1)))


def _body(claimed: Claimed, data: str) -> str:
    about = {
        "type": claimed.occasion.value,
        "timestamp": claimed.happened_at.isoformat(),
    }
    # What is told is JSON already.
    return f'{json.dumps(about)[:-1]}, "data": {data}}}'
