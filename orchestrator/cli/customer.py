"""
Customers: added and listed on the database itself, as keys are.
"""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.catalog import keys
from orchestrator.cli.database import open_database
from orchestrator.cli.options import AsJSON
from orchestrator.config import console_actor
from orchestrator.terminal.output import print_json, print_line, print_table

app = typer.Typer(
    help="Customers: who sees which samples and jobs.", no_args_is_help=True
)


@app.command()
def add(
    short_name: Annotated[
        str, typer.Argument(metavar="NAME", help="A short name, by which it is named.")
    ],
    name: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What people call it.")
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Add a customer; its users come with their keys."""
    with open_database().uow() as tx:
        added = keys.add_customer(
            tx, short_name, name or short_name, actor=console_actor()
        )
    document = {"id": str(added.id), "shortName": short_name, "name": added.name}
    if as_json:
        print_json(document)
    else:
        print_line(f"added {short_name}")


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
        print_json(documents)
        return
    print_table(
        ("short name", "name"),
        ((customer.short_name, customer.name) for customer in found),
    )
