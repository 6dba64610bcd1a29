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

from orchestrator.db import audit
from orchestrator.db.audit import Action
from orchestrator.db.link import KEPT_ALIVE
from orchestrator.db.service_clock import get_correction
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.values import Actor

#: One upgrade at a time, however many processes start at once. Any fixed number would
#: do; this one spells "assay" in ASCII.
_LOCK = 0x6173736179


def upgrade(
    database_url: str, revision: str = "head", *, actor: Actor | None = None
) -> None:
    """
    Run the missing steps, one process at a time.

    Args:
        actor: Who does it, for the audit trail; only towards the newest schema, which
            has one.

    Raises:
        OperationalError: The database is away or a lock took too long; safe to retry.
    """
    with _engine(database_url).connect() as connection:
        _locked(connection)
        before = current_revision(connection)
        command.upgrade(_config(connection), revision)
        if actor is not None and before != current_revision(connection):
            _record(connection, actor, before)
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


def _record(connection: Connection, actor: Actor, before: str | None) -> None:
    correction, clock = get_correction(connection)
    after = current_revision(connection)
    audit.record(
        Transaction(connection, now=correction.time_at(clock)),
        actor,
        Action.DATABASE_UPGRADE,
        after,
        {"from": before, "to": after},
    )


def _locked(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _engine(database_url: str) -> Engine:
    # Steps may take as long as they need; only a server that is gone is given up.
    return create_engine(
        database_url, poolclass=pool.NullPool, connect_args=dict(KEPT_ALIVE)
    )


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option(
        "script_location", str(Path(__file__).parent / "migrations").replace("%", "%%")
    )
    config.attributes["connection"] = connection
    return config
