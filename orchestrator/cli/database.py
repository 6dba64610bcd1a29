"""
The database, for the few commands that do not go through the API.
"""

from __future__ import annotations

import psycopg
from sqlalchemy.exc import ArgumentError, DBAPIError

from orchestrator.config import read_settings, require
from orchestrator.db.sql_errors import is_away, told
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


def said_of(error: Exception) -> str | None:
    """Return what to tell a person of an error of the database; ``None`` of others."""
    if isinstance(error, ArgumentError):
        example = "postgresql+psycopg://user:password@host/assay"
        return f"ASSAY_DATABASE_URL cannot be read; write {example}"
    if not isinstance(error, DBAPIError | psycopg.Error):
        return None
    hint = told(error).get("hint")
    if hint is not None:
        return f"the database: {hint}"
    cause = getattr(error, "orig", None) or error
    if not isinstance(cause, psycopg.OperationalError) or not is_away(error):
        return None
    first = str(cause).partition("\n")[0]
    return f"{first}; see that PostgreSQL runs and that ASSAY_DATABASE_URL is right"
