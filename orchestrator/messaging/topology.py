"""
How to reach the broker: URLs, options, and Celery's settings for our own processes.

Queues come from ``contracts/names.py``; nothing here sends or reads a message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import redis
from celery.events.event import event_exchange
from kombu import Exchange, Queue
from kombu.pidbox import Mailbox
from kombu.utils.url import parse_url
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestrator.contracts import names
from orchestrator.contracts.amqp_headers import read_headers_safely
from orchestrator.contracts.amqp_link import BrokerConnection
from orchestrator.contracts.broker_tls import kombu_tls
from orchestrator.contracts.silence import (
    CONNECT_SECONDS,
    HEARTBEAT_SECONDS,
    REDIS_ANSWER_SECONDS,
    broker_limits,
)
from orchestrator.domain.errors import ConfigurationError
from orchestrator.messaging.errors import broker_errors, masked

_UNIX_SOCKET = "redis+socket://"
#: Of the other brokers that kombu knows, none has a report source here.
_READABLE = ("redis://", "rediss://", _UNIX_SOCKET, "amqp://", "amqps://", "pyamqp://")


def redis_client(
    broker_url: str, *, timeout_seconds: float = REDIS_ANSWER_SECONDS
) -> redis.Redis:
    """
    Return a client for any Redis URL that kombu understands.

    redis-py's own defaults would retry ten times, and so apply a push or a trim twice;
    this client never does. One connection is opened when it is first used.

    Raises:
        ConfigurationError: The URL cannot be read. Its password is not in the text.
    """
    parts = _parts(broker_url)
    shared: dict[str, Any] = {
        "db": int(parts["virtual_host"] or 0),
        "username": parts["userid"],
        "password": parts["password"],
        "socket_timeout": timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
        "client_name": "assay",
    }
    if broker_url.startswith(_UNIX_SOCKET):
        return redis.Redis(unix_socket_path=parts["path"], **shared)
    return redis.Redis(
        host=parts["hostname"] or "127.0.0.1",
        port=parts["port"] or 6379,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_keepalive=True,
        **_tls(parts, wanted=parts["transport"] == "rediss"),
        **shared,
    )


def kombu_url(broker_url: str) -> str:
    """
    Return the URL as kombu needs it.

    kombu 5.7 overwrites the ``password`` in the query of a ``redis+socket`` URL with
    the one before the ``@``, even where there is none; so it is moved there.
    """
    if not broker_url.startswith(_UNIX_SOCKET):
        return kombu_tls(broker_url)[0]
    parts = _parts(broker_url)
    user, password = parts["userid"] or "", parts["password"]
    user_info = (
        f"{quote(user, safe='')}:{quote(password, safe='')}@" if password else ""
    )
    query = urlencode({"virtual_host": parts["virtual_host"] or "0"})
    return f"{_UNIX_SOCKET}{user_info}{parts['path']}?{query}"


def broker_options(broker_url: str) -> dict[str, object]:
    """Return kombu's transport options for our processes and for Celery's."""
    rabbitmq = names.is_rabbitmq(broker_url)
    limits = broker_limits(rabbitmq=rabbitmq)
    if rabbitmq:
        return {**limits, "confirm_publish": True}
    return {
        **limits,
        # One list per queue: priorities are the database's business.
        "priority_steps": [0],
    }


def open_connection(broker_url: str, *, confirm_each: bool = True) -> BrokerConnection:
    """
    Return a kombu connection that is not yet open.

    Args:
        confirm_each: On RabbitMQ, wait for the confirm of every single publish. Whoever
            counts the confirms himself says no.

    Raises:
        ConfigurationError: The URL cannot be read.
    """
    _parts(broker_url)
    read_headers_safely()
    options = broker_options(broker_url)
    if not confirm_each:
        options.pop("confirm_publish", None)
    return BrokerConnection(
        kombu_url(broker_url),
        **kombu_tls(broker_url)[1],
        transport_options=options,
        connect_timeout=CONNECT_SECONDS,
        heartbeat=HEARTBEAT_SECONDS if names.is_rabbitmq(broker_url) else None,
    )


def celery_settings(broker_url: str) -> dict[str, object]:
    """Return Celery's settings for beat and maintenance."""
    queue = names.maintenance_queue(rabbitmq=names.is_rabbitmq(broker_url))
    return {
        "broker_url": kombu_url(broker_url),
        "broker_use_ssl": kombu_tls(broker_url)[1].get("ssl"),
        "broker_transport_options": broker_options(broker_url),
        "broker_heartbeat": HEARTBEAT_SECONDS,
        "broker_connection_timeout": CONNECT_SECONDS,
        "broker_connection_retry_on_startup": True,
        # None is for ever: an operator restarts the broker, not every process.
        "broker_connection_max_retries": None,
        # Neither is a broker that is there and refuses a reason to end.
        "broker_channel_error_retry": True,
        "broker_pool_acquire_timeout": 5,
        "task_publish_retry": True,
        "task_publish_retry_policy": {
            "max_retries": 3,
            "interval_start": 0.1,
            "interval_step": 0.3,
            "interval_max": 1,
        },
        "result_backend": None,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "timezone": "UTC",
        "enable_utc": True,
        "task_queues": [queue],
        "task_default_queue": queue.name,
        "task_default_exchange": "",
        "task_default_routing_key": queue.name,
        # A queue that is spelled wrong is an error, not a new queue.
        "task_create_missing_queues": False,
        "worker_prefetch_multiplier": 1,
        # Off, it warns each time.
        "worker_cancel_long_running_tasks_on_connection_loss": True,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_send_task_events": False,
    }


def broker_database(broker_url: str) -> str:
    """Return the number of Redis's database, or RabbitMQ's virtual host."""
    default = "/" if names.is_rabbitmq(broker_url) else "0"
    return str(_parts(broker_url)["virtual_host"] or default)


def declare(broker_url: str, workers: Iterable[str]) -> None:
    """
    Make every queue and exchange exist that a worker's account may not make.

    On Redis there is nothing to make: a list is its pushes.

    Raises:
        BrokerUnavailableError: Safe to retry; what exists already is left as it is.
        ForeignQueueError: One of them is none of ours.
    """
    if not names.is_rabbitmq(broker_url):
        return
    with broker_errors(broker_url), open_connection(broker_url) as connection:
        for part in rabbitmq_parts(workers):
            part(connection.default_channel).declare()


def rabbitmq_parts(workers: Iterable[str]) -> Sequence[Exchange | Queue]:
    """Return every exchange and queue that there has to be on RabbitMQ."""
    mailbox = Mailbox("celery", type="fanout")
    reports = names.report_queue(rabbitmq=True)
    return [
        *(mailbox.exchange, mailbox.reply_exchange, event_exchange, reports.exchange),
        *(reports, names.maintenance_queue(rabbitmq=True)),
        *(names.worker_queue(worker, rabbitmq=True) for worker in workers),
    ]


def _parts(broker_url: str) -> dict[str, Any]:
    if not broker_url.startswith(_READABLE):
        raise _unreadable(broker_url)
    try:
        if broker_url.startswith(_UNIX_SOCKET):
            return _socket_parts(broker_url)
        parts: dict[str, Any] = parse_url(broker_url)
        if not names.is_rabbitmq(broker_url):
            int(parts["virtual_host"] or 0)
    except (ValueError, KeyError):
        # Not chained: the cause quotes the part of the URL that may be the password.
        raise _unreadable(broker_url) from None
    return parts


def _unreadable(broker_url: str) -> ConfigurationError:
    return ConfigurationError(
        f"broker URL {masked(broker_url)!r} cannot be read; write "
        "redis://:password@host:6379/0 or amqp://user:password@host:5672/vhost, "
        "with / # ? @ : in the password percent-encoded",
        field="ASSAY_BROKER_URL",
    )


def _socket_parts(broker_url: str) -> dict[str, Any]:
    address, _, query = broker_url.partition("?")
    parts: dict[str, Any] = parse_url(address)
    options = dict(parse_qsl(query))
    return {
        "transport": parts["transport"],
        "path": f"/{parts['virtual_host'] or ''}",
        "userid": parts["userid"] or options.get("username"),
        "password": parts["password"] or options.get("password"),
        "virtual_host": str(int(options.get("virtual_host", "0"))),
    }


def _tls(parts: dict[str, Any], *, wanted: bool) -> dict[str, Any]:
    if not wanted:
        return {}
    return {"ssl": True, **parts.get("ssl", {})}
