"""
API keys: created, listed and revoked on the database itself, so that the first one can
be made. A key is shown once.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from orchestrator.catalog import keys
from orchestrator.cli.database import open_database
from orchestrator.cli.options import AsJSON
from orchestrator.config import console_actor
from orchestrator.db.users import DEFAULT_CUSTOMER, Key
from orchestrator.domain.values import Role

app = typer.Typer(help="API keys.", no_args_is_help=True)


@app.command()
def create(
    user: Annotated[str, typer.Argument(help="Whose key; a new user is added.")],
    role: Annotated[Role, typer.Option(help="What the user may do.")] = Role.USER,
    customer: Annotated[
        str, typer.Option(help="Whose the user is.")
    ] = DEFAULT_CUSTOMER,
    label: Annotated[str, typer.Option(help="What the key is for.")] = "",
    days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="How long it is valid.")
    ] = None,
    key_role: Annotated[
        Role | None, typer.Option(help="What the key may do; less than the user.")
    ] = None,
    only_customer: Annotated[
        list[str] | None, typer.Option(help="Only for this customer; repeatable.")
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(help="Only from this network, as 10.0.0.0/8; repeatable."),
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
        print(json.dumps({"prefix": issued.prefix, "key": issued.secret}))
    else:
        print(issued.secret)


@app.command("list")
def list_(as_json: AsJSON = False) -> None:
    """List the keys, without their secrets."""
    with open_database().uow() as tx:
        found = keys.list_keys(tx)
    if as_json:
        print(json.dumps([_document(key) for key in found]))
        return
    table = Table("prefix", "user", "role", "label", "created", "state")
    for key in found:
        shown = _document(key)
        table.add_row(
            *(str(shown[name]) for name in ("prefix", "user", "role", "label")),
            key.created_at.isoformat(timespec="seconds"),
            "revoked" if key.revoked_at else "valid",
        )
    Console().print(table)


@app.command()
def revoke(
    prefix: Annotated[str, typer.Argument(help="The key's eight hex digits.")],
    as_json: AsJSON = False,
) -> None:
    """Revoke a key; requests with it are refused from now on."""
    with open_database().uow() as tx:
        keys.revoke_key(tx, prefix, actor=console_actor())
    print(json.dumps({"revoked": prefix}) if as_json else f"revoked {prefix}")


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


def _millis(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)
