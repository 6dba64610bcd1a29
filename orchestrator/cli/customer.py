"""
Customers: added and listed on the database itself, as keys are.
"""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from orchestrator.catalog import keys
from orchestrator.cli.database import open_database
from orchestrator.cli.options import AsJSON
from orchestrator.config import console_actor

app = typer.Typer(
    help="Customers: who sees which samples and jobs.", no_args_is_help=True
)


@app.command()
def add(
    short_name: Annotated[str, typer.Argument(help="By which it is named.")],
    name: Annotated[str | None, typer.Option(help="For people.")] = None,
    as_json: AsJSON = False,
) -> None:
    """Add a customer; its users come with their keys."""
    with open_database().uow() as tx:
        added = keys.add_customer(
            tx, short_name, name or short_name, actor=console_actor()
        )
    document = {"id": str(added.id), "shortName": short_name, "name": added.name}
    print(json.dumps(document) if as_json else f"added {short_name}")


@app.command("list")
def list_(as_json: AsJSON = False) -> None:
    """List the customers."""
    with open_database().uow() as tx:
        found = keys.list_customers(tx)
    if as_json:
        documents = [
            {
                "id": str(customer.id),
                "shortName": customer.short_name,
                "name": customer.name,
            }
            for customer in found
        ]
        print(json.dumps(documents))
        return
    table = Table("short name", "name")
    for customer in found:
        table.add_row(customer.short_name, customer.name)
    Console().print(table)
