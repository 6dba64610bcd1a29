"""
API keys: created, listed and revoked on the database itself, so that the first one can
be made. A key is shown once.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import typer

from orchestrator.catalog import keys
from orchestrator.cli.database import open_database
from orchestrator.cli.options import AsJSON
from orchestrator.config import console_actor
from orchestrator.db.users import DEFAULT_CUSTOMER, Key
from orchestrator.domain.values import Role
from orchestrator.terminal.output import print_json, print_line, print_table
from orchestrator.terminal.words import moment

app = typer.Typer(help="API keys.", no_args_is_help=True)


@app.command()
def create(
    user: Annotated[
        str, typer.Argument(metavar="USER", help="Whose key; a new user is added.")
    ],
    role: Annotated[Role, typer.Option(help="What the user may do.")] = Role.USER,
    customer: Annotated[
        str, typer.Option(metavar="NAME", help="Whose the user is.")
    ] = DEFAULT_CUSTOMER,
    label: Annotated[
        str, typer.Option(metavar="TEXT", help="What the key is for.")
    ] = "",
    days: Annotated[
        int | None,
        typer.Option(min=1, max=36_500, metavar="N", help="How long it is valid."),
    ] = None,
    key_role: Annotated[
        Role | None, typer.Option(help="What the key may do; less than the user.")
    ] = None,
    only_customer: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only for this customer; may be repeated."),
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NETWORK",
            help="Only from this network, as 10.0.0.0/8; may be repeated.",
        ),
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Create a key and print it: this is the only time that it can be seen."""
    order = keys.KeyOrder(
        user_name=user,
        role=role,
        customer=customer,
        label=label,
        key_role=key_role,
        customers=only_customer,
        networks=network,
        lifetime=timedelta(days=days) if days else None,
    )
    with open_database().uow() as tx:
        issued = keys.create_key(tx, order, actor=console_actor())
    if as_json:
        print_json({"prefix": issued.prefix, "key": issued.secret})
    else:
        print(issued.secret)


@app.command("list")
def list_(as_json: AsJSON = False) -> None:
    """List the keys, without their secrets."""
    with open_database().uow() as tx:
        found = keys.list_keys(tx)
    if as_json:
        print_json([_document(key) for key in found])
        return
    print_table(
        ("prefix", "user", "role", "state", "created", "label"),
        map(_row, found),
    )


@app.command()
def revoke(
    prefix: Annotated[
        str, typer.Argument(metavar="PREFIX", help="The key's eight hex digits.")
    ],
    as_json: AsJSON = False,
) -> None:
    """Revoke a key; requests with it are refused from now on."""
    with open_database().uow() as tx:
        keys.revoke_key(tx, prefix, actor=console_actor())
    if as_json:
        print_json({"revoked": prefix})
    else:
        print_line(f"revoked {prefix}")


def _row(key: Key) -> tuple[object, ...]:
    return (
        key.prefix,
        key.user.name,
        key.role.value,
        "revoked" if key.revoked_at else "valid",
        moment(_millis(key.created_at)),
        key.label or None,
    )


def _document(key: Key) -> dict[str, object]:
    return {
        "prefix": key.prefix,
        "user": key.user.name,
        "role": key.role.value,
        "label": key.label,
        "createdTimestamp": _millis(key.created_at),
        "expiresTimestamp": _millis(key.limits.expires_at),
        "customers": key.limits.customer_ids
        and list(map(str, key.limits.customer_ids)),
        "networks": key.limits.networks and list(key.limits.networks),
        "revoked": key.revoked_at is not None,
    }


def _millis(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp() * 1000)
