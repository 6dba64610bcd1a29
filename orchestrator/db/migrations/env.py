"""
Alembic's entry: connects and runs the steps. Knows no step itself.

The caller hands over an open connection (``config.attributes["connection"]``); the
``alembic`` command itself reads ASSAY_DATABASE_URL.
"""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import Connection, create_engine, pool

from orchestrator.db.tables import metadata


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection, target_metadata=metadata, compare_server_default=True
    )
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    engine = create_engine(os.environ["ASSAY_DATABASE_URL"], poolclass=pool.NullPool)
    with engine.connect() as opened:
        _run(opened)
