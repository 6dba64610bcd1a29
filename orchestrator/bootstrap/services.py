"""
The parts of one process, from the settings.
"""

from __future__ import annotations

from functools import cached_property

from orchestrator.config import Settings, require
from orchestrator.db.unit_of_work import Database
from orchestrator.flow.ports import Engine
from orchestrator.store import SampleStore


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
        return Engine(limits=self.settings.limits(), keys=self.settings.keys())

    @cached_property
    def broker_url(self) -> str:
        """Where the queues are."""
        return require(self.settings.broker_url, "BROKER_URL")
