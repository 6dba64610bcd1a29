"""
The tick: a canary, then every clock, then what nobody holds. A Celery task's body.

However many beats and ticks run, each expiry is applied once: the steps lock.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from sqlalchemy.exc import OperationalError

from orchestrator.contracts.alive import Canary
from orchestrator.db import counters, sweeps
from orchestrator.db.unit_of_work import Database
from orchestrator.flow.expire import expire
from orchestrator.flow.ports import Engine
from orchestrator.flow.recover import recover
from orchestrator.messaging.errors import BrokerUnavailableError
from orchestrator.messaging.publisher import Publisher

log = structlog.get_logger()


def tick(database: Database, publisher: Publisher, *, engine: Engine) -> None:
    """Do one round of maintenance; what fails is tried again by the next."""
    steps: tuple[tuple[str, Callable[[], object]], ...] = (
        ("canary", lambda: send_canary(database, publisher, engine=engine)),
        ("expire", lambda: _expire(database, engine=engine)),
        (
            "recover",
            lambda: recover(database, engine=engine, depths=publisher.queue_depths),
        ),
        ("fold", lambda: _fold(database)),
    )
    for name, step in steps:
        try:
            moved = step()
        except (OperationalError, BrokerUnavailableError) as error:
            log.warning("tick.step_failed", step=name, error=type(error).__name__)
        except Exception:
            log.exception("tick.step_failed", step=name)
        else:
            if moved:
                log.info("tick.step_done", step=name, moved=moved)


def send_canary(database: Database, publisher: Publisher, *, engine: Engine) -> None:
    """
    Put the database's time into ``reports``, to see it arrive.

    Raises:
        BrokerUnavailableError: It did not get there; the watermark stands still.
    """
    with database.uow() as tx:
        sent_at = tx.now
    token = engine.keys.canary_token(sent_at.isoformat())
    body = Canary(sent_at=sent_at, token=token).model_dump_json().encode()
    publisher.publish_report_body(body, {})


def _fold(database: Database) -> int:
    with database.uow() as tx:
        return counters.fold(tx) if sweeps.try_lock_sweep(tx, "fold") else 0


def _expire(database: Database, *, engine: Engine) -> int:
    with database.uow() as tx:
        return expire(tx, engine=engine)
