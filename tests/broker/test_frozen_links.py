"""
A broker whose connections are frozen: what is sent is taken, and no answer comes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import UUID

import pytest

from orchestrator.contracts import amqp_link, silence
from orchestrator.contracts.amqp_link import BrokerConnection
from orchestrator.contracts.node.connection import NodeConnection
from orchestrator.contracts.silence import broker_limits
from orchestrator.messaging.control import Stopper
from orchestrator.messaging.publisher import Publisher
from orchestrator.messaging.report_source import open_report_source
from orchestrator.messaging.topology import declare
from tests.fixtures.brokers import Broker, RabbitMQHost
from tests.fixtures.freezing_proxy import NO_LIMIT, FreezingProxy, freezing_link

#: Seconds: what does not wait takes less, on a busy machine too.
_AT_ONCE_SECONDS = 1.0

Link = tuple[FreezingProxy, str]


@pytest.fixture
def link(broker: Broker) -> Iterator[Link]:
    """The way to each broker."""
    declare(broker.url, ["pe"])
    with freezing_link(broker.url) as found:
        yield found


@pytest.fixture
def rabbitmq_link(rabbitmq: RabbitMQHost) -> Iterator[Link]:
    declare(rabbitmq.url, ["pe"])
    with freezing_link(rabbitmq.url) as found:
        yield found


def connected(url: str, **options: Any) -> BrokerConnection:
    connection = BrokerConnection(
        url,
        transport_options={**broker_limits(rabbitmq=True), "confirm_publish": True},
        **options,
    )
    connection.connect()
    return connection


def test_closing_waits_for_nothing(link: Link):
    proxy, url = link
    publisher, stopper = Publisher(url), Stopper(url)
    source = open_report_source(url, epoch=1)
    connection = NodeConnection(url)
    publisher.publish_report_body(b"{}", {})
    publisher.queue_depths(["pe"])
    stopper.stop("pe-1@host", [(UUID(int=1), 1)], secrets=["secret"])
    assert connection.default_channel
    assert source.batch(wait_seconds=5)
    proxy.freeze()
    started = time.monotonic()

    publisher.close()
    stopper.close()
    source.close()
    publisher_seconds = time.monotonic() - started
    connection.close()

    assert publisher_seconds < _AT_ONCE_SECONDS
    # A channel is closed first, which is a question.
    assert time.monotonic() - started < _AT_ONCE_SECONDS + 2


@pytest.fixture
def short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "REDIS_ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(amqp_link, "ANSWER_SECONDS", 1.0)


@pytest.mark.usefixtures("short_answers")
def test_a_stop_goes_out_on_another_connection(link: Link):
    proxy, url = link
    with closing(Stopper(url)) as stopper:
        stopper.stop("pe-1@host", [(UUID(int=1), 1)], secrets=["secret"])
        proxy.freeze()
        frozen, started = proxy.connections, time.monotonic()

        stopper.stop("pe-1@host", [(UUID(int=1), 1)], secrets=["secret"])

        assert proxy.connections > frozen
        assert time.monotonic() - started < 1 + _AT_ONCE_SECONDS


def test_heartbeats_do_not_make_a_confirm_that_never_comes_be_waited_for(
    rabbitmq_link: Link,
):
    # A RabbitMQ short of memory reads nothing from who publishes, and is alive.
    proxy, url = rabbitmq_link
    connection = connected(url, heartbeat=1)
    producer = connection.Producer()
    producer.publish({}, routing_key="worker.pe")
    proxy.freeze(answer_bytes=NO_LIMIT)
    started = time.monotonic()

    with pytest.raises(TimeoutError):
        producer.publish({}, routing_key="worker.pe", confirm_timeout=2)

    assert 1.5 < time.monotonic() - started < 2 + _AT_ONCE_SECONDS
    assert not connection.connected


@pytest.mark.timeout(20)
def test_a_frame_that_stops_halfway_is_not_read_for_ever(rabbitmq_link: Link):
    proxy, url = rabbitmq_link
    connection = connected(url, heartbeat=1)
    # A heartbeat's frame has eight.
    proxy.freeze(answer_bytes=7)
    started = time.monotonic()

    # As an event loop reads, when the socket has something.
    while time.monotonic() - started < 3:
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0)

    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.5)
    connection.close()


def test_once_an_answer_did_not_come_no_other_is_waited_for(rabbitmq_link: Link):
    proxy, url = rabbitmq_link
    connection = connected(url)
    channels = [connection.channel() for _ in range(3)]
    proxy.freeze()
    started = time.monotonic()

    for channel in channels:
        connection.maybe_close_channel(channel)
    connection.close()

    assert time.monotonic() - started < 2 + _AT_ONCE_SECONDS
