"""
Builds the parts from the settings, and runs each process: the only place that does.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import structlog
import uvicorn
from uuid_utils.compat import uuid7

from orchestrator import consumer, dispatcher
from orchestrator.api import deps
from orchestrator.api.app import create_app
from orchestrator.config import Settings, read_settings, require
from orchestrator.contracts.assignment import Where
from orchestrator.db import users
from orchestrator.db.backlog import Claim
from orchestrator.db.unit_of_work import Database
from orchestrator.domain.values import Role
from orchestrator.flow import submit
from orchestrator.flow.ports import Engine
from orchestrator.maintenance import Housekeeping, tick
from orchestrator.messaging.control import Stopper
from orchestrator.messaging.publisher import Publisher
from orchestrator.messaging.report_source import ReportSource, open_report_source
from orchestrator.store import SampleStore

log = structlog.get_logger()

#: Bytes read from a file at a time.
_CHUNK_BYTES = 1024 * 1024

#: Whose jobs are those that a program submits without a key.
_LOCAL_USER = "local"

#: How long a signed URL is good: as long as an assignment may wait in the window.
_URL_SECONDS = 3600

#: Threads of the API; each may hold one database connection.
_API_CONNECTIONS = 20


class Services:
    """The parts of one process, each built when it is first needed."""

    def __init__(self, settings: Settings, *, pool_size: int = 5) -> None:
        self.settings = settings
        self._pool_size = pool_size

    @cached_property
    def database(self) -> Database:
        """The database; connections are opened when they are needed."""
        url = require(self.settings.database_url, "DATABASE_URL")
        return Database(url, pool_size=self._pool_size)

    @cached_property
    def store(self) -> SampleStore:
        """Where sample bytes are."""
        return SampleStore.from_url(self.settings.sample_store_url())

    @cached_property
    def engine(self) -> Engine:
        """Limits and keys."""
        return self.settings.engine()

    @cached_property
    def broker_url(self) -> str:
        """Where the queues are."""
        return require(self.settings.broker_url, "BROKER_URL")

    def open_source(self, epoch: int) -> ReportSource:
        """Open the reader of ``reports``."""
        return open_report_source(self.broker_url, epoch=epoch)

    def locate(self, claim: Claim) -> Where:
        """
        Say where a replica finds a sample's bytes.

        On the shared folder if there is one; else by a URL that the store signs, where
        it can; else at the API, with the attempt's token.
        """
        shared = self.store.path(claim.sample_sha256)
        if self.settings.samples_shared and shared is not None:
            return Where(kind="path", value=str(shared))
        url = self.store.url(claim.sample_sha256, seconds=_URL_SECONDS)
        if url is not None:
            return Where(kind="url", value=url)
        path = f"/internal/task/{claim.task_id}/{claim.attempt}/sample"
        return Where(kind="http", value=path)


def run_api(settings: Settings) -> None:
    """Serve the HTTP API until stopped."""
    services = Services(settings, pool_size=_API_CONNECTIONS)
    app = create_app(
        deps.Services(
            database=services.database, store=services.store, engine=services.engine
        )
    )
    uvicorn.run(
        app,
        host=settings.api_host,
        port=settings.api_port,
        log_config=None,
        access_log=False,
        # Whoever can forge an address passes for one of a key's networks.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=5,
    )


def run_dispatcher(settings: Settings) -> None:
    """Dispatch until stopped."""
    services = Services(settings)
    process = dispatcher.Dispatcher(
        services.database,
        Publisher(services.broker_url),
        Stopper(services.broker_url),
        engine=services.engine,
        locate=services.locate,
    )
    process.run(stop_signal())


def run_consumer(settings: Settings) -> None:
    """Consume reports, or stand by, until stopped."""
    services = Services(settings)
    consumer.consume(
        services.database,
        services.open_source,
        engine=services.engine,
        stopping=stop_signal(),
    )


def build_tick(settings: Settings) -> Callable[[], None]:
    """Return one round of maintenance, ready to be called again and again."""
    services = Services(settings)
    publisher = Publisher(services.broker_url)
    database, engine = services.database, services.engine

    housekeeping = Housekeeping(database, services.store, settings.retention())

    # Celery reads the function's signature by its name: no lambda.
    def once() -> None:
        tick(database, publisher, housekeeping, engine=engine)

    return once


def stop_signal() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


class Assay:
    """
    The service as a library: submits into the same database as the HTTP API.

    For programs that run where the database and the store can be reached; others use
    HTTP.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    @classmethod
    def from_env(cls) -> Self:
        """
        Build from the environment, or the ``env`` file of ``assay up``.

        Raises:
            ConfigurationError: A setting is missing; the message says which.
        """
        return cls(Services(read_settings()))

    def submit(
        self,
        path: str | Path,
        *,
        priority: int = 0,
        workers: Sequence[str] | None = None,
        options: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> UUID:
        """
        Store a file's bytes and create a job for them.

        Args:
            priority: -9 to 9; one step is worth ten minutes of waiting.
            workers: Short names; ``None`` leaves the choice to the policy.
            idempotency_key: The same key and content give the first job again.

        Returns:
            The job's id.

        Raises:
            SampleTooLargeError: The file is above ``ASSAY_SAMPLE_MAX_BYTES``.
            UnknownWorkerError: A worker is not registered.
            OperationalError: The database is away; safe to retry.
        """
        services = self._services
        source = Path(path)
        with services.database.uow() as tx:
            user = users.find_user(tx, _LOCAL_USER) or users.add_user(
                tx, user_id=uuid7(), name=_LOCAL_USER, role=Role.USER
            )
        stored = submit.store_sample(
            services.database,
            services.store,
            _chunks(source),
            limit_bytes=services.engine.limits.sample_max_bytes,
            owner=submit.Owner(user_id=user.id, customer_id=user.customer_id),
        )
        order = submit.JobOrder(
            sample_sha256=stored.sha256,
            submitter_id=user.id,
            customer_id=user.customer_id,
            priority=priority,
            workers=tuple(workers) if workers is not None else None,
            options=options or {},
            file_name=source.name,
            idempotency_key=idempotency_key,
        )
        with services.database.uow() as tx:
            return submit.create_job(tx, order, engine=services.engine).job_id

    def close(self) -> None:
        """Close the connections."""
        self._services.database.close()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
