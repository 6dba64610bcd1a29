"""
Runs the processes around the queues: dispatcher, consumer and maintenance.
"""

from __future__ import annotations

from collections.abc import Callable

from orchestrator import consumer, dispatcher
from orchestrator.bootstrap.ending import stop_signal
from orchestrator.bootstrap.services import Services
from orchestrator.config import Settings
from orchestrator.maintenance import ClockWatch, Housekeeping, tick
from orchestrator.messaging.control import Stopper
from orchestrator.messaging.publisher import Publisher
from orchestrator.messaging.report_source import open_report_source
from orchestrator.store import locator


def run_dispatcher(settings: Settings) -> None:
    """Dispatch until stopped."""
    services = Services(settings)
    process = dispatcher.Dispatcher(
        services.database,
        Publisher(services.broker_url),
        Stopper(services.broker_url),
        engine=services.engine,
        locate=locator(services.store, is_shared=settings.samples_shared),
    )
    process.run(stop_signal())


def run_consumer(settings: Settings) -> None:
    """Consume reports, or stand by, until stopped."""
    services = Services(settings)
    broker_url = services.broker_url
    consumer.consume(
        services.database,
        lambda epoch: open_report_source(broker_url, epoch=epoch),
        engine=services.engine,
        stopping=stop_signal(),
    )


def build_tick(settings: Settings) -> Callable[[], None]:
    """Return one round of maintenance, ready to be called again and again."""
    services = Services(settings)
    publisher = Publisher(services.broker_url)
    database, engine = services.database, services.engine

    housekeeping = Housekeeping(database, services.store, settings.retention())
    clock = ClockWatch()

    # Celery reads the function's signature by its name: no lambda.
    def once() -> None:
        tick(database, publisher, housekeeping, clock, engine=engine)

    return once
