from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import kombu
import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from redis import Redis

from orchestrator.contracts.names import (
    MAINTENANCE,
    TICK_TASK,
    is_rabbitmq,
    maintenance_queue,
)
from orchestrator.domain.errors import ConfigurationError
from orchestrator.messaging.errors import masked
from orchestrator.messaging.publisher import Publisher
from orchestrator.messaging.report_source import open_report_source
from orchestrator.messaging.topology import (
    broker_options,
    celery_settings,
    declare,
    kombu_url,
    redis_client,
)
from tests.fixtures.brokers import Broker, RedisServer


def arguments_of(client: Redis) -> dict[str, object]:
    arguments: dict[str, object] = client.connection_pool.connection_kwargs
    return arguments


def test_a_tcp_url_is_read_with_its_user_password_and_database():
    arguments = arguments_of(redis_client("redis://me:p%40ss@example.org:6380/3"))

    assert arguments["host"] == "example.org"
    assert arguments["port"] == 6380
    assert arguments["db"] == 3
    assert (arguments["username"], arguments["password"]) == ("me", "p@ss")


def test_a_tls_url_checks_the_certificate_unless_told_otherwise():
    checked: Any = redis_client("rediss://:pw@h/0").connection_pool.make_connection()
    trusting: Any = redis_client(
        "rediss://:pw@h/0?ssl_cert_reqs=none"
    ).connection_pool.make_connection()

    assert checked.cert_reqs == ssl.CERT_REQUIRED
    assert trusting.cert_reqs == ssl.CERT_NONE


@pytest.mark.parametrize("form", ["before the at sign", "in the query"])
def test_a_socket_url_works_with_the_password_in_either_place(
    redis_server: RedisServer, form: str
):
    url = redis_server.url
    if form == "in the query":
        url = (
            f"redis+socket://{redis_server.socket}"
            f"?virtual_host=0&password={redis_server.password}"
        )

    with redis_client(url) as client:
        assert client.ping()
    with closing(Publisher(url)) as publisher:
        publisher.publish_report_body(b"1", {})
    with closing(open_report_source(url, epoch=1)) as source:
        assert len(source.batch(wait_seconds=0)) == 1


def test_a_socket_url_keeps_its_database(redis_server: RedisServer):
    url = redis_server.url.replace("virtual_host=0", "virtual_host=4")
    with closing(Publisher(url)) as publisher:
        publisher.publish_report_body(b"1", {})

    with redis_client(url) as client:
        assert client.llen("reports") == 1
    with redis_server.client() as database_0:
        assert database_0.llen("reports") == 0


def test_urls_that_need_no_change_get_none():
    for url in ("redis://:pw@h:1/0", "amqp://u:pw@h/v"):
        assert kombu_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2@example.org:port/0",
        "redis://:hunter2@example.org/not-a-number",
        "sqs://me:hunter2@example.org/0",
        "carrier-pigeon://me:hunter2@example.org",
        "redis://:hunter2#and/more@example.org/0",
        "redis+socket:///run/redis.sock?virtual_host=x&password=hunter2",
    ],
)
def test_a_url_that_cannot_be_read_is_an_error_that_keeps_the_password(url: str):
    with pytest.raises(ConfigurationError) as caught:
        Publisher(url)

    assert caught.value.field == "ASSAY_BROKER_URL"
    assert "percent-encoded" in caught.value.message
    assert "hunter2" not in caught.value.message
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2@h/0",
        "redis://:hunter2@with/slash@h/0",
        "amqp://user:hunter2@h:5672/v",
        "redis+socket:///s?password=hunter2&virtual_host=0",
        "redis+socket://:hunter2@/s?virtual_host=0",
    ],
)
def test_a_masked_url_has_no_password(url: str):
    assert "hunter2" not in masked(url)


def test_no_option_lets_a_push_happen_twice_or_disables_batches():
    options = broker_options("redis://h/0")

    assert "retry_on_timeout" not in options
    with kombu.Connection(
        "redis://127.0.0.1:1/0", transport_options=options
    ) as connection:
        assert connection.transport.supports_batch_publish


def test_celery_with_these_settings_sends_a_tick_to_the_queue_of_maintenance(
    broker: Broker,
):
    declare(broker.url, [])
    app = Celery(set_as_current=False)
    app.conf.update(celery_settings(broker.url))

    app.send_task(TICK_TASK)

    queue = maintenance_queue(rabbitmq=is_rabbitmq(broker.url))
    with kombu.Connection(kombu_url(broker.url)) as connection:
        message = queue(connection.channel()).get(no_ack=True)
    assert message is not None
    assert message.headers["task"] == TICK_TASK
    assert message.delivery_info["routing_key"] == MAINTENANCE


@pytest.fixture
def kept_logging() -> Iterator[None]:
    """Undo what a Celery worker does to the root logger of its process."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.mark.usefixtures("kept_logging")
def test_a_celery_worker_with_these_settings_runs_what_beat_sends(broker: Broker):
    app = Celery(set_as_current=False)
    app.conf.update(celery_settings(broker.url))
    ran = threading.Event()
    app.task(name=TICK_TASK, shared=False)(ran.set)

    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=30):
        app.send_task(TICK_TASK)

        assert ran.wait(timeout=20)
