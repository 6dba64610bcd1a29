"""
Brings a database to the newest schema, and says how far behind one is.

The steps themselves stand in ``migrations/``.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, pool, text

#: One upgrade at a time, however many processes start at once. Any fixed number would
#: do; this one spells "assay" in ASCII.
_LOCK = 0x6173736179


def upgrade(database_url: str, revision: str = "head") -> None:
    """
    Run the missing steps, one process at a time.

    Raises:
        OperationalError: The database is away or a lock took too long; safe to retry.
    """
    with _engine(database_url).connect() as connection:
        _locked(connection)
        command.upgrade(_config(connection), revision)
        connection.commit()


def downgrade(database_url: str, revision: str = "base") -> None:
    """Take steps back; data of dropped tables is gone."""
    with _engine(database_url).connect() as connection:
        _locked(connection)
        command.downgrade(_config(connection), revision)
        connection.commit()


def head_revision() -> str | None:
    """Return the newest step that this code knows."""
    return ScriptDirectory.from_config(_config(None)).get_current_head()


def current_revision(connection: Connection) -> str | None:
    """Return the step that the database stands at; ``None`` when it is empty."""
    return MigrationContext.configure(connection).get_current_revision()


def _locked(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _engine(database_url: str) -> Engine:
    return create_engine(database_url, poolclass=pool.NullPool)


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option(
        "script_location", str(Path(__file__).parent / "migrations").replace("%", "%%")
    )
    config.attributes["connection"] = connection
    return config
