"""
The service as a library: ``from orchestrator import Assay``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from uuid import UUID

from uuid_utils.compat import uuid7

from orchestrator.bootstrap.services import Services
from orchestrator.catalog.samples import Owner, store_sample
from orchestrator.config import read_settings
from orchestrator.db import users
from orchestrator.domain.values import Role
from orchestrator.flow.order import JobOrder
from orchestrator.flow.submit import create_job

#: Bytes read from a file at a time.
_CHUNK_BYTES = 1024 * 1024

#: Whose jobs are those that a program submits without a key.
_LOCAL_USER = "local"


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
        stored = store_sample(
            services.database,
            services.store,
            _chunks(source),
            limit_bytes=services.engine.limits.sample_max_bytes,
            owner=Owner(user_id=user.id, customer_id=user.customer_id),
        )
        order = JobOrder(
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
            return create_job(tx, order, engine=services.engine).job_id

    def close(self) -> None:
        """Close the connections."""
        self._services.database.close()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
