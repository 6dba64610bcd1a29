"""
TLS to the broker, as ``docs/operations/tls.md`` has it, with a throw-away authority.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest
from celery import Celery
from kombu import Connection
from redis.exceptions import RedisError

from orchestrator.contracts import amqp_link
from orchestrator.contracts.broker_tls import kombu_tls
from orchestrator.embedded.ports import free_port
from orchestrator.messaging.errors import BrokerUnavailableError
from orchestrator.messaging.publisher import Publisher
from orchestrator.messaging.topology import (
    celery_settings,
    open_connection,
    redis_client,
)
from tests.fixtures.authority import Authority
from tests.fixtures.brokers import RABBITMQ_ADDRESS, Broker, RabbitMQHost, start_process
from tests.fixtures.freezing_proxy import freezing_link
from tests.fixtures.waiting import eventually

#: Of what was refused the libraries leave the sockets to the collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)


@pytest.fixture(scope="module")
def redis_port(authority: Authority) -> Iterator[int]:
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server on PATH, and the embedded one has no TLS")
    port = free_port()
    process = start_process(
        [
            *("redis-server", "--port", "0", "--tls-port", str(port)),
            *("--bind", "127.0.0.1", "--save", "", "--tls-auth-clients", "no"),
            *("--tls-cert-file", "crt.pem", "--tls-key-file", "key.pem"),
            *("--tls-ca-cert-file", "ca.pem"),
        ],
        cwd=authority.folder,
        stdout=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: _listens(port))
        yield port
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@pytest.fixture(scope="module")
def amqps_port(authority: Authority) -> Iterator[int]:
    """A port at which TLS ends before RabbitMQ."""
    context = authority.server_side()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = listener.accept()
                threading.Thread(target=relay, args=(plain,), daemon=True).start()

    def relay(plain: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            context.wrap_socket(plain, server_side=True) as client,
            socket.create_connection(("127.0.0.1", 5672)) as rabbitmq,
        ):
            threading.Thread(target=copy, args=(rabbitmq, client), daemon=True).start()
            copy(client, rabbitmq)

    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(65_536):
                target.sendall(part)
            target.shutdown(socket.SHUT_WR)

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def _answers(url: str) -> bool:
    """Whether our processes, Celery's, and a replica's connection get through."""
    address, options = kombu_tls(url)
    celery = Celery(set_as_current=False)
    celery.conf.update(celery_settings(url))
    connections = [
        open_connection(url),
        celery.connection_for_write(),
        Connection(address, **options),
    ]
    found = set()
    for connection in connections:
        with connection:
            try:
                # Once: kombu's own ways try again and again.
                established = connection.transport.establish_connection()
                connection.transport.close_connection(established)
                found.add(True)
            except Exception:  # noqa: BLE001  (of each library its own)
                found.add(False)
    (answers,) = found
    return answers


#: Whether somebody who is trusted so is spoken to, by host and options.
_CASES = [
    ("localhost", "{trusted}", True),
    ("localhost", "ssl_cert_reqs=required&{trusted}", True),
    ("localhost", "", False),
    ("localhost", "ssl_cert_reqs=required", False),
    ("localhost", "ssl_cert_reqs=none", True),
    ("127.0.0.1", "{trusted}", False),
    ("127.0.0.1", "{trusted}&ssl_check_hostname=false", True),
]


@pytest.mark.parametrize(("host", "options", "is_trusted"), _CASES)
def test_redis_is_spoken_to_if_it_is_trusted(
    authority: Authority,
    redis_port: int,
    host: str,
    options: str,
    is_trusted: bool,  # noqa: FBT001
):
    query = options.format(trusted=authority.trusted)
    url = f"rediss://{host}:{redis_port}/0" + (f"?{query}" if query else "")

    assert _answers(url) is is_trusted
    refused = contextlib.nullcontext() if is_trusted else pytest.raises(RedisError)
    with redis_client(url) as client, refused:
        client.ping()


@pytest.mark.parametrize(("host", "options", "is_trusted"), _CASES)
def test_rabbitmq_is_spoken_to_if_it_is_trusted(
    authority: Authority,
    amqps_port: int,
    broker: Broker,
    host: str,
    options: str,
    is_trusted: bool,  # noqa: FBT001
):
    if not broker.url.startswith("amqp"):
        pytest.skip("of RabbitMQ alone")
    query = options.format(trusted=authority.trusted)
    rest = broker.url.partition("@")
    user, virtual_host = rest[0].partition("//")[2], rest[2].partition("/")[2]
    url = f"amqps://{user}@{host}:{amqps_port}/{virtual_host}"

    assert _answers(url + (f"?{query}" if query else "")) is is_trusted


def test_closing_waits_for_no_goodbye_of_tls(amqps_port: int, rabbitmq: RabbitMQHost):
    to_tls = rabbitmq.url.replace("amqp://", "amqps://").replace(
        RABBITMQ_ADDRESS, f"localhost:{amqps_port}"
    )
    with freezing_link(to_tls) as (proxy, url):
        publisher = Publisher(f"{url}?ssl_cert_reqs=none")
        publisher.publish_report_body(b"{}", {})
        proxy.freeze()
        started = time.monotonic()

        publisher.close()

    assert time.monotonic() - started < 1


def test_an_answer_that_never_comes_is_waited_for_so_long_with_tls_too(
    amqps_port: int, rabbitmq: RabbitMQHost, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(amqp_link, "ANSWER_SECONDS", 1.0)
    to_tls = rabbitmq.url.replace("amqp://", "amqps://").replace(
        RABBITMQ_ADDRESS, f"localhost:{amqps_port}"
    )
    with (
        freezing_link(to_tls) as (proxy, url),
        contextlib.closing(Publisher(f"{url}?ssl_cert_reqs=none")) as publisher,
    ):
        publisher.queue_depths(["pe"])
        proxy.freeze()
        started = time.monotonic()

        with pytest.raises(BrokerUnavailableError):
            publisher.queue_depths(["pe"])
        assert time.monotonic() - started < 2
        publisher.queue_depths(["pe"])
