from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from uuid import UUID

import kombu
import pytest
from celery import Celery

from orchestrator.contracts.names import (
    MAINTENANCE,
    TICK_TASK,
    maintenance_queue,
    worker_queue,
)
from orchestrator.messaging.control import Stopper
from orchestrator.messaging.errors import BrokerUnavailableError
from orchestrator.messaging.publisher import Publisher
from orchestrator.messaging.topology import celery_settings, declare
from tests.fixtures.brokers import Broker, RabbitMQHost, RedisServer
from tests.fixtures.foreign import spoil
from tests.fixtures.freezing_proxy import freezing_link
from tests.fixtures.outgoing import outgoing
from tests.fixtures.waiting import eventually


@pytest.fixture
def publisher(broker: Broker) -> Iterator[Publisher]:
    with closing(Publisher(broker.url)) as publisher:
        yield publisher


def task_ids_in(url: str, worker: str) -> list[str]:
    """Take every message out of a worker's queue, oldest first."""
    queue = worker_queue(worker, rabbitmq=url.startswith("amqp"))
    found: list[str] = []
    with kombu.Connection(url) as connection:
        bound = queue(connection.channel())
        while (message := bound.get(no_ack=True)) is not None:
            found.append(message.headers["id"])
    return found


def test_messages_arrive_in_order_each_in_the_queue_of_its_worker(
    broker: Broker, publisher: Publisher
):
    mixed = [outgoing("pe" if n % 2 else "pdf", n) for n in range(1, 1201)]

    result = publisher.publish(mixed)

    assert result.refused == ()
    assert result.error is None
    assert task_ids_in(broker.url, "pe") == [f"{m.task_id}.1" for m in mixed[0::2]]
    assert task_ids_in(broker.url, "pdf") == [f"{m.task_id}.1" for m in mixed[1::2]]


def test_queue_depths_count_what_waits_and_a_missing_queue_as_nothing(
    broker: Broker, publisher: Publisher
):
    publisher.publish([outgoing("pe", n) for n in range(1, 4)])

    def seen() -> bool:
        return publisher.queue_depths(["pe", "missing"]) == {"pe": 3, "missing": 0}

    eventually(seen)


def test_the_backlog_of_reports_is_counted(broker: Broker, publisher: Publisher):
    assert publisher.report_backlog() == 0

    publisher.publish_report_body(b"{}", {})

    eventually(lambda: publisher.report_backlog() == 1)


def test_publishing_nothing_needs_no_broker():
    with closing(Publisher("redis://:pw@127.0.0.1:1/0")) as publisher:
        assert publisher.publish([]).error is None


@pytest.mark.parametrize(
    "url", ["redis://:hunter2@127.0.0.1:1/0", "amqp://u:hunter2@127.0.0.1:1/v"]
)
def test_without_a_broker_everything_is_refused_at_once_and_no_password_is_said(
    url: str,
):
    messages = [outgoing("pe", 1), outgoing("pe", 2)]
    started = time.monotonic()
    with closing(Publisher(url)) as publisher, closing(Stopper(url)) as stopper:
        result = publisher.publish(messages)
        with pytest.raises(BrokerUnavailableError) as depths:
            publisher.queue_depths(["pe"])
        with pytest.raises(BrokerUnavailableError) as report:
            publisher.publish_report_body(b"{}", {})
        with pytest.raises(BrokerUnavailableError) as stop:
            stopper.stop("pe-1@here", [(UUID(int=1), 1)], secrets=["s"])

    texts = [str(result.error), str(depths.value), str(report.value), str(stop.value)]
    assert list(result.refused) == messages
    assert time.monotonic() - started < 5
    assert all("127.0.0.1:1" in text for text in texts)
    assert not any("hunter2" in text for text in texts)


def test_a_wrong_password_is_refused_without_being_said(redis_server: RedisServer):
    wrong = redis_server.url.replace(redis_server.password, "hunter2")
    with closing(Publisher(wrong)) as publisher:
        result = publisher.publish([outgoing("pe", 1)])

    assert len(result.refused) == 1
    assert "Authentication" in str(result.error)
    assert "hunter2" not in str(result.error)


def test_publishing_works_again_after_an_empty_restart(redis_server: RedisServer):
    with closing(Publisher(redis_server.url)) as publisher:
        publisher.publish([outgoing("pe", 1)])
        redis_server.stop()
        lost = publisher.publish([outgoing("pe", 2)])
        redis_server.start()

        again = publisher.publish(lost.refused)

    assert lost.error is not None
    assert again.error is None
    assert task_ids_in(redis_server.url, "pe") == [f"{UUID(int=2)}.1"]


def test_a_redis_that_answers_nothing_holds_a_publisher_for_ten_seconds_at_most(
    redis_server: RedisServer,
):
    with closing(Publisher(redis_server.url)) as publisher:
        publisher.publish([outgoing("pe", 1)])
        redis_server.freeze()
        started = time.monotonic()

        result = publisher.publish([outgoing("pe", 2)])

        assert len(result.refused) == 1
        assert time.monotonic() - started < 10
        redis_server.stop()


def test_a_redis_that_is_full_refuses(redis_server: RedisServer):
    with (
        closing(Publisher(redis_server.url)) as publisher,
        redis_server.client() as inside,
    ):
        inside.config_set("maxmemory", 1)

        result = publisher.publish([outgoing("pe", 1)])

        assert len(result.refused) == 1
        inside.config_set("maxmemory", 0)
        assert publisher.publish(result.refused).error is None


def test_publishing_works_again_after_a_closed_connection(rabbitmq: RabbitMQHost):
    with closing(Publisher(rabbitmq.url)) as publisher:
        publisher.publish([outgoing("pe", 1)])
        rabbitmq.close_connections()

        def published() -> bool:
            return publisher.publish([outgoing("pe", 2)]).error is None

        eventually(published)


def test_what_rabbitmq_cannot_route_is_refused_and_the_queue_is_made_again(
    rabbitmq: RabbitMQHost,
):
    with closing(Publisher(rabbitmq.url)) as publisher:
        publisher.publish([outgoing("pe", 1), outgoing("pdf", 2)])
        with kombu.Connection(rabbitmq.url) as connection:
            worker_queue("pe", rabbitmq=True)(connection.channel()).delete()

        result = publisher.publish([outgoing("pe", 3), outgoing("pdf", 4)])

        assert [message.worker for message in result.refused] == ["pe"]
        assert result.error == "the broker refused 1 of 2 messages"
        assert publisher.publish(result.refused).error is None
    assert task_ids_in(rabbitmq.url, "pe") == [f"{UUID(int=3)}.1"]


def test_what_a_full_queue_rejects_is_refused(rabbitmq: RabbitMQHost):
    rabbitmq.limit_queues(messages=1)
    with closing(Publisher(rabbitmq.url)) as publisher:
        refused = [
            message
            for n in range(1, 21)
            for message in publisher.publish([outgoing("pe", n)]).refused
        ]

    assert refused
    assert len(task_ids_in(rabbitmq.url, "pe")) + len(refused) == 20


def test_ticks_that_wait_are_dropped_and_nothing_else(broker: Broker):
    declare(broker.url, ["pe"])
    app = Celery(broker=broker.url, set_as_current=False)
    app.conf.update(celery_settings(broker.url))
    with closing(Publisher(broker.url)) as publisher:
        publisher.publish([outgoing("pe", 1)])
        for _ in range(5):
            app.send_task(TICK_TASK, queue=MAINTENANCE, ignore_result=True)

        publisher.purge_ticks()

        with kombu.Connection(broker.url) as connection:
            queue = maintenance_queue(rabbitmq=isinstance(broker, RabbitMQHost))
            assert queue(connection.channel()).get() is None
        assert publisher.queue_depths(["pe"]) == {"pe": 1}


def test_purging_a_queue_that_is_not_there_is_no_error(broker: Broker):
    with closing(Publisher(broker.url)) as publisher:
        publisher.purge_ticks()
        assert publisher.publish([outgoing("pe", 1)]).error is None


def test_a_queue_that_is_none_of_ours_is_one_workers_trouble(broker: Broker):
    spoil(broker, "worker.pe")
    messages = [outgoing(worker, n) for n in (1, 2) for worker in ("pe", "pdf")]
    with closing(Publisher(broker.url)) as publisher:
        for _ in range(2):
            result = publisher.publish(messages)

            assert {message.worker for message in result.refused} == {"pe"}
            assert len(result.refused) == 2
            assert result.spoilt == {"pe"}
            assert "worker.pe" in str(result.error)
        assert publisher.queue_depths(["pe", "pdf"])["pdf"] == 4


def test_declaring_makes_every_queue_and_may_be_repeated(rabbitmq: RabbitMQHost):
    declare(rabbitmq.url, ["pe"])
    declare(rabbitmq.url, ["pe", "pdf"])

    assert rabbitmq.queues() == {
        "reports": "quorum",
        "maintenance": "quorum",
        "worker.pe": "quorum",
        "worker.pdf": "quorum",
    }


def test_a_rabbitmq_that_goes_silent_holds_nobody_for_more_than_ten_seconds(
    rabbitmq: RabbitMQHost,
):
    with (
        freezing_link(rabbitmq.url) as (proxy, url),
        closing(Publisher(url)) as publisher,
    ):
        publisher.publish([outgoing("pe", 1)])
        publisher.queue_depths(["pe"])
        proxy.stall()

        started = time.monotonic()
        silent = publisher.publish([outgoing("pe", 2)])
        published_seconds = time.monotonic() - started
        with pytest.raises(BrokerUnavailableError):
            publisher.queue_depths(["pe"])
        connected_seconds = time.monotonic() - started - published_seconds

    assert len(silent.refused) == 1
    assert published_seconds < 10
    assert connected_seconds < 10


def test_a_queue_length_is_not_waited_for_longer_than_ten_seconds(
    rabbitmq: RabbitMQHost,
):
    with (
        freezing_link(rabbitmq.url) as (proxy, url),
        closing(Publisher(url)) as publisher,
    ):
        publisher.queue_depths(["pe"])
        proxy.stall()
        started = time.monotonic()

        with pytest.raises(BrokerUnavailableError):
            publisher.queue_depths(["pe"])

        assert time.monotonic() - started < 10
