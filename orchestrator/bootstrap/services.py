"""
The parts of one process, from the settings.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property

import psycopg

from orchestrator.config import Settings, require
from orchestrator.db.pooler import refuse_shared_sessions
from orchestrator.db.unit_of_work import Database, driver_url
from orchestrator.flow.ports import Engine
from orchestrator.store import SampleStore


class Services:
    """The parts of one process, each built when it is first needed."""

    def __init__(self, settings: Settings, *, pool_size: int = 5) -> None:
        self.settings = settings
        self._pool_size = pool_size

    @cached_property
    def database(self) -> Database:
        """
        The database.

        Raises:
            ConfigurationError: No URL is set, or a pooler is in the way.
        """
        url = require(self.settings.database_url, "DATABASE_URL")
        direct_url = self.settings.direct_url()
        # One that is away now is waited for, as ever.
        with suppress(psycopg.Error):
            refuse_shared_sessions(
                driver_url(url), direct_url and driver_url(direct_url)
            )
        return Database(url, direct_url=direct_url, pool_size=self._pool_size)

    @cached_property
    def store(self) -> SampleStore:
        """Where sample bytes are."""
        return SampleStore.from_url(self.settings.sample_store_url())

    @cached_property
    def engine(self) -> Engine:
        """Limits and keys."""
        return Engine(limits=self.settings.limits(), keys=self.settings.keys())

    @cached_property
    def broker_url(self) -> str:
        """Where the queues are."""
        return require(self.settings.broker_url, "BROKER_URL")
