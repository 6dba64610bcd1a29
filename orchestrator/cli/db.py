"""
The database's schema: bringing it up to date, and saying whether it is.
"""

from __future__ import annotations

import typer

from orchestrator.config import console_actor, read_settings, require
from orchestrator.db import migrate
from orchestrator.db.unit_of_work import Database

app = typer.Typer(help="The database's schema.", no_args_is_help=True)


@app.command()
def upgrade() -> None:
    """Run the migrations that are missing. Safe to run at any time, by many at once."""
    url = require(read_settings().database_url, "DATABASE_URL")
    migrate.upgrade(url, actor=console_actor())
    print(f"the database is at {migrate.head_revision()}")


@app.command()
def check() -> None:
    """Say whether the database is at the newest migration; exit 1 if it is not."""
    database = Database(require(read_settings().database_url, "DATABASE_URL"))
    with database.uow() as tx:
        current = migrate.current_revision(tx.connection)
    head = migrate.head_revision()
    if current != head:
        print(f"the database is at {current}, this code needs {head}: assay db upgrade")
        raise typer.Exit(1)
    print(f"the database is at {current}, as it should be")
