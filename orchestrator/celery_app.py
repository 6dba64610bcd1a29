"""
The Celery application of beat and maintenance: one task, one beat entry.

Assignments are published by ``messaging/publisher.py``; replicas have their own.
"""

from __future__ import annotations

import secrets
import signal
import socket
import time
import warnings
from collections.abc import Callable
from typing import Any

from celery import Celery, bootsteps, signals
from celery.app.amqp import AMQP
from celery.beat import Scheduler, SchedulingError
from celery.exceptions import SecurityWarning
from celery.schedules import schedule
from celery.worker import state
from typing_extensions import override

from orchestrator.config import Settings, require
from orchestrator.contracts.amqp_link import BrokerConnection
from orchestrator.contracts.ending import end_within
from orchestrator.contracts.names import MAINTENANCE, TICK_TASK
from orchestrator.contracts.node import refusals
from orchestrator.contracts.node.connection import NodeConnection
from orchestrator.contracts.node.consumer import NodeConsumer
from orchestrator.contracts.node.messages import Takes
from orchestrator.messaging.topology import celery_settings


def build_celery_app(settings: Settings) -> Celery:
    """
    Build the application; it connects when it runs.

    Raises:
        ConfigurationError: A setting that it needs is missing.
    """
    broker_url = require(settings.broker_url, "BROKER_URL")
    app = Celery("assay", set_as_current=False, amqp=_Amqp)
    app.conf.update(
        celery_settings(broker_url),
        beat_schedule={
            "tick": {
                "task": TICK_TASK,
                "schedule": _Steady(settings.tick_seconds),
                # It carries nothing and does not expire: beat's clock and that of
                # maintenance may differ by more than any time that one would choose.
                "options": {"queue": MAINTENANCE},
            }
        },
        # The schedule is one constant entry: nothing to remember between runs.
        beat_scheduler=_Scheduler,
        beat_max_loop_interval=settings.tick_seconds,
    )
    return app


class _Steady(schedule):  # type: ignore[misc]  # as below
    """Due every so many seconds of a clock that nobody sets; Celery's own stops."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self._seconds = seconds
        self._due = time.monotonic()

    @override
    def is_due(self, last_run_at: object) -> tuple[bool, float]:
        now = time.monotonic()
        if now < self._due:
            return False, self._due - now
        self._due = now + self._seconds
        return True, self._seconds


class _Scheduler(Scheduler):  # type: ignore[misc]  # Celery has no types
    """Says in one line that a tick was not sent, where Celery prints two tracebacks."""

    @override
    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            refusals.complain(error.__context__ or error, self.app)


def run_beat(settings: Settings) -> None:
    """Send ticks until stopped; any number may run."""
    app = build_celery_app(settings)
    app.Beat(loglevel="WARNING", quiet=True, pidfile=None).run()


def run_maintenance(settings: Settings, tick: Callable[[], None]) -> int:
    """Call *tick* whenever one is asked for, until stopped; any number may run."""
    app = build_celery_app(settings)
    app.amqp_cls = _NodeAmqp
    app.conf.worker_consumer = NodeConsumer
    app.takes = Takes(task=TICK_TASK, arguments=frozenset())
    app.task(name=TICK_TASK, ignore_result=True)(tick)
    app.steps["worker"].add(_QuietEnd)
    # Of running as root, and of an option that there is not. It takes one task, which
    # carries nothing.
    warnings.simplefilter("ignore", SecurityWarning)
    worker = app.Worker(
        hostname=new_node_name(MAINTENANCE),
        pool_cls="solo",
        queues=[MAINTENANCE],
        loglevel="WARNING",
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


class _Amqp(AMQP):  # type: ignore[misc]  # Celery has no types
    Connection = BrokerConnection


class _NodeAmqp(AMQP):  # type: ignore[misc]  # as above
    Connection = NodeConnection


def new_node_name(process: str) -> str:
    """Return a Celery node name that no process has had, with the machine it is on."""
    # Celery itself fills in the machine only for its own command line. Two of one name
    # would share a mailbox, which RabbitMQ refuses.
    return f"{process}-{secrets.token_hex(4)}@{socket.gethostname()}"


class _QuietEnd(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Ends as Celery does when it is told to, without its line of plain text."""

    requires = ("celery.worker.components:Pool",)

    def start(self, _parent: Any) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _stop)


def _stop(_number: int, _frame: object) -> None:
    end_within()
    state.should_stop = 0


def _end_beat_soon(**_: object) -> None:
    # Celery's own handler raises, which is lost where a library ignores it.
    def end(_number: int, _frame: object) -> None:
        end_within()
        raise SystemExit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


signals.beat_init.connect(_end_beat_soon, weak=False)


def _leave_the_logs_alone(**_: object) -> None:
    """Celery sets up none of its own when somebody listens."""


signals.setup_logging.connect(_leave_the_logs_alone, weak=False)
