"""
``assay broker``: which accounts the broker is to have, on the database and the broker.
"""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.bootstrap.enrolment import apply_policy, read_accounts
from orchestrator.cli.options import AsJSON
from orchestrator.config import read_settings, require
from orchestrator.domain.errors import UnavailableError
from orchestrator.messaging import policy as broker_policy
from orchestrator.messaging.errors import BrokerError
from orchestrator.terminal.output import errors, print_json

app = typer.Typer(help="The message broker.", no_args_is_help=True)

Apply = Annotated[
    bool,
    typer.Option(
        "--apply",
        help="Tell the broker: Redis itself, RabbitMQ by ASSAY_BROKER_MANAGEMENT_URL.",
    ),
]


@app.callback()
def group() -> None:
    """Keep the only command a word of its own."""


@app.command()
def policy(apply: Apply = False, as_json: AsJSON = False) -> None:
    """
    Print what each enrolled worker may do in the broker, or tell the broker.

    For Redis lines of an aclfile; for RabbitMQ commands, with passwords in them.
    """
    settings = read_settings()
    broker_url = require(settings.broker_url, "BROKER_URL")
    accounts = read_accounts(settings)
    if apply:
        try:
            apply_policy(settings, accounts)
        except BrokerError as error:
            raise UnavailableError(str(error)) from None
        errors.print(f"the broker knows {len(accounts)} workers")
    lines = [] if apply else broker_policy.lines(broker_url, accounts)
    if as_json:
        users = [account.user for account in accounts]
        print_json({"users": users, "lines": lines, "applied": apply})
        return
    for line in lines:
        print(line)
