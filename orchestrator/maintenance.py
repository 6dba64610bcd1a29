"""
The tick: a canary, then every clock, then what nobody holds. A Celery task's body.

However many beats and ticks run, each expiry is applied once: the steps lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import structlog

from orchestrator.contracts.alive import Canary
from orchestrator.db import counters, pulse, sweeps
from orchestrator.db.service_clock import get_correction
from orchestrator.db.sql_errors import is_away, told
from orchestrator.db.unit_of_work import DATABASE_ERRORS, Database, Transaction
from orchestrator.domain.errors import UnavailableError
from orchestrator.domain.limits import Retention
from orchestrator.flow.expire import expire
from orchestrator.flow.ports import Engine
from orchestrator.flow.prune import prune
from orchestrator.flow.recover import recover
from orchestrator.flow.sweep import sweep_files
from orchestrator.messaging.errors import BrokerError, ForeignQueueError
from orchestrator.messaging.publisher import Publisher
from orchestrator.store import SampleStore

log = structlog.get_logger()

_PRUNE_SECONDS = 30.0
_SWEEP_SECONDS = 3_600.0

#: Seconds of one tick for what is due: then the next canary has to go out, long before
#: the 3 s that count as a gap.
_EXPIRE_SECONDS = 1.0

#: Longer than any sender may pause.
_STAGING_AGE = timedelta(days=1)


class Housekeeping:
    """
    What need not be done in every tick: removing what is old.

    Each process does it at its own pace; the steps themselves keep two apart.
    """

    def __init__(
        self, database: Database, store: SampleStore, retention: Retention
    ) -> None:
        self._database = database
        self._store = store
        self._retention = retention
        self._prune_at = time.monotonic() + _PRUNE_SECONDS
        self._sweep_at = time.monotonic() + _PRUNE_SECONDS

    def run(self) -> int:
        """Do what is due; return how much was removed."""
        removed = 0
        if time.monotonic() >= self._prune_at:
            self._prune_at = time.monotonic() + _PRUNE_SECONDS
            removed += prune(self._database, self._retention)
            removed += sweep_files(self._database, self._store)
        if time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + _SWEEP_SECONDS
            removed += self._store.sweep(older_than=_STAGING_AGE)
        return removed


class ClockWatch:
    """Tells once of each jump of the database's clock, whoever noticed it."""

    def __init__(self) -> None:
        self._epoch: int | None = None

    def look(self, tx: Transaction) -> None:
        """Log what is new since the last look."""
        correction, _ = get_correction(tx.connection)
        if self._epoch not in {None, correction.epoch}:
            jump = round(correction.jump.total_seconds(), 1)
            log.warning("clock.jumped", seconds=jump)
        self._epoch = correction.epoch


def tick(
    database: Database,
    publisher: Publisher,
    housekeeping: Housekeeping,
    clock: ClockWatch,
    *,
    engine: Engine,
) -> None:
    """Do one round of maintenance; what fails is tried again by the next."""
    steps: tuple[tuple[str, Callable[[], object]], ...] = (
        # Whatever waits asks for what is done now. It must not pile up behind a slow
        # round: ticks do not expire.
        ("purge", publisher.purge_ticks),
        ("canary", lambda: send_canary(database, publisher, clock, engine=engine)),
        ("expire", lambda: _expire(database, engine=engine)),
        (
            "recover",
            lambda: recover(database, engine=engine, depths=publisher.queue_depths),
        ),
        ("fold", lambda: _fold(database, engine=engine)),
        ("housekeeping", housekeeping.run),
    )
    for name, step in steps:
        try:
            moved = step()
        except DATABASE_ERRORS as error:
            log.warning("tick.step_failed", step=name, **told(error))
            if is_away(error):
                # Of every further step the same would have to be said.
                return
        except (BrokerError, UnavailableError) as error:
            _complain(name, error)
        except Exception:
            log.exception("tick.step_failed", step=name)
        else:
            if moved:
                log.info("tick.step_done", step=name, moved=moved)


def _complain(step: str, error: Exception) -> None:
    if isinstance(error, ForeignQueueError):
        log.warning("queue.foreign", **error.queue.told())
        return
    if isinstance(error, BrokerError):
        # Of every step that asks it the same would have to be said.
        log.warning("broker.unavailable", step=step, error=str(error))
        return
    # What a store says may be an address.
    log.warning("tick.step_failed", step=step, error=type(error).__name__)


def send_canary(
    database: Database, publisher: Publisher, clock: ClockWatch, *, engine: Engine
) -> None:
    """
    Put the database's time into ``reports``, to see it arrive.

    Raises:
        BrokerUnavailableError: It did not get there; the watermark stands still.
        ForeignQueueError: Nor then.
    """
    with database.uow() as tx:
        sent_at = tx.now
        clock.look(tx)
    token = engine.keys.canary_token(sent_at.isoformat())
    body = Canary(sent_at=sent_at, token=token).model_dump_json().encode()
    publisher.publish_report_body(body, {})


def _fold(database: Database, *, engine: Engine) -> int:
    with database.uow() as tx:
        pulse.record(tx, lease=engine.limits.lease)
        return counters.fold(tx) if sweeps.try_lock_sweep(tx, "fold") else 0


def _expire(database: Database, *, engine: Engine) -> int:
    # Short transactions while something ends; the next tick takes the rest.
    until = time.monotonic() + _EXPIRE_SECONDS
    total = 0
    while time.monotonic() < until:
        with database.uow() as tx:
            ended = expire(tx, engine=engine)
        total += ended
        if not ended:
            break
    return total
