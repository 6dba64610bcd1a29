"""
Enrols a worker on the database, and gives it an account in the broker.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.bootstrap.services import Services
from orchestrator.catalog.workers import (
    broker_accounts,
    enrol_worker,
    keep_enrolled,
)
from orchestrator.config import Settings, console_actor, read_settings, require
from orchestrator.contracts.names import is_rabbitmq
from orchestrator.domain.errors import ConfigurationError
from orchestrator.messaging.accounts import Account
from orchestrator.messaging.errors import BrokerError
from orchestrator.messaging.policy import (
    account_url,
    apply_to_rabbitmq,
    apply_to_redis,
)
from orchestrator.messaging.topology import declare


@dataclass(frozen=True, kw_only=True, slots=True)
class Enrolled:
    """
    What the replicas of a worker are told.

    ``problem``: why the broker does not know the account yet; ``None`` if it does.
    """

    secret: str = field(repr=False)
    broker_url: str = field(repr=False)
    problem: str | None


def enrol(name: str, *, keep: bool = False) -> Enrolled:
    """
    Issue the worker *name* a new secret and a new account, ending those before them.

    Args:
        keep: Leave it those that it has, if it is enrolled.

    Raises:
        ConfigurationError: A setting is missing or malformed; nothing was done.
        ConflictError: It was removed, and is to be kept.
        OperationalError: The database is away; nothing was done.
    """
    settings = read_settings()
    keys = settings.keys()
    broker_url = require(settings.broker_url, "BROKER_URL")
    database = Services(settings).database
    with database.uow() as tx:
        give = keep_enrolled if keep else enrol_worker
        secret = give(tx, name, keys=keys, actor=console_actor())
        accounts = broker_accounts(tx, keys=keys)
    database.close()
    (own,) = [account for account in accounts if account.worker == name]
    try:
        apply_policy(settings, accounts)
        problem = None
    except (BrokerError, ConfigurationError) as error:
        problem = f"{error}; then: assay broker policy --apply"
    return Enrolled(
        secret=secret, broker_url=account_url(broker_url, own), problem=problem
    )


def read_accounts(settings: Settings) -> list[Account]:
    """Return the accounts that the broker should have."""
    keys = settings.keys()
    database = Services(settings).database
    with database.uow() as tx:
        accounts = broker_accounts(tx, keys=keys)
    database.close()
    return accounts


def apply_policy(settings: Settings, accounts: list[Account]) -> None:
    """
    Give the broker these accounts, and RabbitMQ also what these may not make.

    Raises:
        BrokerUnavailableError: It is away, or the account of ``ASSAY_BROKER_URL`` may
            not.
        ForeignQueueError: A queue of RabbitMQ's is none of ours.
        ConfigurationError: ``ASSAY_BROKER_MANAGEMENT_URL`` is missing or refused.
    """
    broker_url = require(settings.broker_url, "BROKER_URL")
    if not is_rabbitmq(broker_url):
        apply_to_redis(broker_url, accounts)
        return
    declare(broker_url, [account.worker for account in accounts])
    management = require(settings.broker_management_url, "BROKER_MANAGEMENT_URL")
    apply_to_rabbitmq(broker_url, management, accounts, ca_certs=settings.ca_certs)
