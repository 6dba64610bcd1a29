"""
The database, for the few commands that do not go through the API.
"""

from __future__ import annotations

from orchestrator.config import read_settings, require
from orchestrator.db.unit_of_work import Database


def open_database() -> Database:
    """
    Open the database of the settings.

    Raises:
        ConfigurationError: ``ASSAY_DATABASE_URL`` is not set.
    """
    settings = read_settings()
    url = require(settings.database_url, "DATABASE_URL")
    return Database(url, direct_url=settings.direct_url())
