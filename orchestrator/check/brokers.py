"""
The broker that a check stands on: a Redis of its own, with the account that a worker
has there, or an empty RabbitMQ that somebody names.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.contracts import names
from orchestrator.contracts.token import KeyRing
from orchestrator.domain.errors import ConfigurationError
from orchestrator.embedded import launch, places, redis
from orchestrator.embedded.ports import free_port
from orchestrator.messaging.accounts import Account
from orchestrator.messaging.errors import broker_errors
from orchestrator.messaging.policy import account_url, apply_to_redis
from orchestrator.messaging.topology import declare, open_connection, redis_client

_KEY_BYTES = 32
_END_SECONDS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Broker:
    """
    ``url``: the orchestrator's. ``theirs``: the worker's. ``cut``: ends the worker's
    connections; ``None``: nobody can.
    """

    url: str = field(repr=False)
    theirs: str = field(repr=False)
    cut: Callable[[], None] | None


@contextmanager
def own_redis(worker: str) -> Iterator[Broker]:
    """Run a Redis in which *worker* has its account and nobody else any."""
    with tempfile.TemporaryDirectory(prefix="assay-check-") as folder:
        found = places.places(Path(folder) / "data")
        try:
            places.make(found)
            plan = redis.prepare(found, port=free_port())
            words = launch.command(
                *plan.command, parent=os.getpid(), user=found.broker_user
            )
            with subprocess.Popen(
                words,
                cwd="/",
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            ) as server:
                try:
                    redis.wait_until_ready(plan.url)
                    yield _with_account(plan.url, worker)
                finally:
                    _end(server)
        finally:
            places.remove(found)


@contextmanager
def given_rabbitmq(url: str, worker: str) -> Iterator[Broker]:
    """
    Use a RabbitMQ in which nothing of Assay is; leave it so.

    Raises:
        ConfigurationError: It is none, or ``reports`` is there: whose reports are they?
        BrokerUnavailableError: It is away.
    """
    if not names.is_rabbitmq(url):
        raise ConfigurationError(
            "--broker-url: is for a RabbitMQ (amqp://…); without it there is a Redis"
        )
    if _has_reports(url):
        raise ConfigurationError(
            "--broker-url: this virtual host has a queue 'reports'; name an empty one"
        )
    declare(url, [worker])
    try:
        yield Broker(url=url, theirs=url, cut=None)
    finally:
        queue = names.worker_queue(worker, rabbitmq=True).name
        with broker_errors(url), open_connection(url) as connection:
            channel = connection.default_channel
            for name in (queue, names.REPORTS, names.MAINTENANCE):
                channel.queue_delete(name)
            channel.exchange_delete(names.REPORTS)


def _has_reports(url: str) -> bool:
    with broker_errors(url), open_connection(url) as connection:
        channel = connection.channel()
        try:
            channel.queue_declare(names.REPORTS, passive=True)
        except connection.channel_errors:
            return False
        return True


def _with_account(url: str, worker: str) -> Broker:
    keys = KeyRing.parse(f"check:{secrets.token_hex(_KEY_BYTES)}")
    account = Account.of(worker, 1, keys=keys, deployment="check")
    apply_to_redis(url, [account])

    def cut() -> None:
        with redis_client(url) as client:
            client.client_kill_filter(user=account.user)

    return Broker(url=url, theirs=account_url(url, account), cut=cut)


def _end(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        server.wait(_END_SECONDS)
    server.kill()
