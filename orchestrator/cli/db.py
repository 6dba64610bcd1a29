"""
The database's schema: bringing it up to date, and saying whether it is.
"""

from __future__ import annotations

import json

import typer

from orchestrator.cli.database import open_database
from orchestrator.cli.options import AsJSON
from orchestrator.config import console_actor, read_settings, require
from orchestrator.db import migrate

app = typer.Typer(help="The database's schema.", no_args_is_help=True)


@app.command()
def upgrade(as_json: AsJSON = False) -> None:
    """Run the migrations that are missing. Safe to run at any time, by many at once."""
    settings = read_settings()
    url = require(settings.database_url, "DATABASE_URL")
    migrate.upgrade(settings.direct_url() or url, actor=console_actor())
    head = migrate.head_revision()
    if as_json:
        print(json.dumps({"revision": head}))
    else:
        print(f"the database is at {head}")


@app.command()
def check(as_json: AsJSON = False) -> None:
    """Say whether the database is at the newest migration; exit 1 if it is not."""
    with open_database().engine.connect() as connection:
        current = migrate.current_revision(connection)
    head = migrate.head_revision()
    if as_json:
        print(json.dumps({"revision": current, "needed": head}))
    elif current == head:
        print(f"the database is at {current}, as it should be")
    else:
        print(f"the database is at {current}, this code needs {head}: assay db upgrade")
    if current != head:
        raise typer.Exit(1)
