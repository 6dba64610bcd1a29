"""
What is none of ours under a name of ours: it is named, with what it has, what it should
have, and the command that mends it; and that command does.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import kombu
import pytest

from orchestrator.contracts.foreign import ForeignQueue
from orchestrator.messaging.errors import BrokerUnavailableError, ForeignQueueError
from orchestrator.messaging.publisher import Publisher
from orchestrator.messaging.report_source import open_report_source
from orchestrator.messaging.topology import declare
from tests.fixtures.brokers import Broker, RabbitMQHost, RedisServer
from tests.fixtures.foreign import mend, spoil, spoil_exchange

#: On RabbitMQ, what somebody else's queue may be: arguments, and what is said of it.
KINDS: Mapping[str, tuple[dict[str, Any], str]] = {
    "plain": ({}, "no x-queue-type (classic)"),
    "classic": ({"arguments": {"x-queue-type": "classic"}}, "x-queue-type=classic"),
    "stream": ({"arguments": {"x-queue-type": "stream"}}, "x-queue-type=stream"),
    "bounded": (
        {"arguments": {"x-queue-type": "quorum", "x-max-length": 9}},
        "x-max-length=9",
    ),
    "transient": ({"durable": False}, "durable=false"),
    "deleted": ({"auto_delete": True}, "auto_delete=true"),
    "exclusive": ({"durable": False, "exclusive": True}, "exclusive=true"),
}


#: Our exchanges on RabbitMQ, and what declares each as it should be.
EXCHANGES: Mapping[str, dict[str, Any]] = {
    "reports": {"type": "direct", "durable": True},
    "celery.pidbox": {"type": "fanout", "durable": False},
    "reply.celery.pidbox": {"type": "direct", "durable": False},
    "celeryev": {"type": "topic", "durable": True},
}


@pytest.fixture
def publisher(broker: Broker) -> Iterator[Publisher]:
    with closing(Publisher(broker.url)) as publisher:
        yield publisher


@pytest.mark.parametrize("name", ["reports", "maintenance", "worker.pe"])
def test_it_is_named_and_the_command_mends_it(
    broker: Broker, publisher: Publisher, name: str
):
    spoil(broker, name)

    (found,) = publisher.find_foreign(["pe", "pdf"], make=True)
    mend(broker, found)

    assert found.name == name
    assert found.wanted != found.present
    assert publisher.find_foreign(["pe", "pdf"], make=True) == []


def test_a_look_makes_nothing_unless_it_is_to(broker: Broker, publisher: Publisher):
    assert publisher.find_foreign(["pe"]) == []

    if isinstance(broker, RabbitMQHost):
        assert broker.queues() == {}
        publisher.find_foreign(["pe"], make=True)
        assert set(broker.queues()) == {"reports", "maintenance", "worker.pe"}


def test_one_that_was_ours_is_seen_to_be_so_no_more(
    broker: Broker, publisher: Publisher
):
    publisher.find_foreign(["pe"], make=True)
    if isinstance(broker, RabbitMQHost):
        broker.ctl("delete_queue", "worker.pe")
    spoil(broker, "worker.pe")

    (found,) = publisher.find_foreign(["pe"], make=True)

    assert found.name == "worker.pe"


def test_reading_and_writing_reports_say_so_and_go_on(
    broker: Broker, publisher: Publisher
):
    spoil(broker, "reports")
    with closing(open_report_source(broker.url, epoch=1)) as source:
        with pytest.raises(ForeignQueueError) as read:
            source.batch(wait_seconds=0.1)
        with pytest.raises(ForeignQueueError) as written:
            publisher.publish_report_body(b"{}", {})
        mend(broker, read.value.queue)
        publisher.publish_report_body(b'{"a": 1}', {})

        (message,) = source.batch(wait_seconds=5)

    assert read.value.queue == written.value.queue
    assert message.body == b'{"a": 1}'


@pytest.mark.parametrize("key", ["reports.taken", "reports.epoch"])
def test_every_key_of_the_reader_is_named(redis_server: RedisServer, key: str):
    with redis_server.client() as client:
        client.sadd(key, "something else")

    with (
        closing(open_report_source(redis_server.url, epoch=1)) as source,
        pytest.raises(ForeignQueueError) as error,
    ):
        source.batch(wait_seconds=0.1)

    assert error.value.queue == ForeignQueue(
        name=key,
        wanted=f"type={'list' if key == 'reports.taken' else 'string'}",
        present="type=set",
        remedy=f"redis-cli -n 0 DEL {key}",
    )


def test_an_epoch_that_is_no_number_is_none(redis_server: RedisServer):
    with redis_server.client() as client:
        client.set("reports.epoch", "something else")
    with closing(open_report_source(redis_server.url, epoch=1)) as source:
        assert source.batch(wait_seconds=0.1) == []


def test_every_kind_of_queue_that_is_not_ours_is_told(rabbitmq: RabbitMQHost):
    with (
        kombu.Connection(rabbitmq.url) as theirs,
        closing(Publisher(rabbitmq.url)) as publisher,
    ):
        for name, (options, _) in KINDS.items():
            declared = {"durable": True, "auto_delete": False, **options}
            theirs.default_channel.queue_declare(f"worker.{name}", **declared)

        found = publisher.find_foreign([*KINDS, "ours"], make=True)

    told = {queue.name.removeprefix("worker."): queue.present for queue in found}
    assert told == {name: said for name, (_, said) in KINDS.items()}


def test_the_command_is_one_of_a_shell_whatever_the_names_are(rabbitmq: RabbitMQHost):
    with kombu.Connection(rabbitmq.url) as theirs:
        theirs.default_channel.queue_declare("worker.a:b", auto_delete=True)
    with closing(Publisher(rabbitmq.url)) as publisher:
        (found,) = publisher.find_foreign(["a:b"], make=True)

        done = subprocess.run(["sh", "-c", found.remedy], check=False, timeout=60)

        assert done.returncode == 0
        assert shlex.split(found.remedy)[:3] == ["rabbitmqctl", "-p", rabbitmq.name]
        assert publisher.find_foreign(["a:b"], make=True) == []


@pytest.mark.parametrize("make", [True, False])
def test_every_exchange_that_is_not_ours_is_told_and_the_command_mends_it(
    rabbitmq: RabbitMQHost, *, make: bool
):
    for name in EXCHANGES:
        spoil_exchange(rabbitmq, name)
    with closing(Publisher(rabbitmq.url)) as publisher:
        found = publisher.find_foreign(["pe"], make=make)
        for exchange in found:
            mend(rabbitmq, exchange)

        assert {(one.what, one.wanted, one.present) for one in found} == {
            (f"exchange {name}", f"type={options['type']}", "type=headers")
            for name, options in EXCHANGES.items()
        }
        assert publisher.find_foreign(["pe"], make=True) == []


@pytest.mark.parametrize("option", ["durable", "auto_delete"])
def test_of_an_exchange_every_argument_counts(rabbitmq: RabbitMQHost, option: str):
    with (
        kombu.Connection(rabbitmq.url) as theirs,
        closing(Publisher(rabbitmq.url)) as publisher,
    ):
        for name, options in EXCHANGES.items():
            ours = {"auto_delete": False, **options}
            given = {**ours, option: not ours[option]}
            theirs.default_channel.exchange_declare(name, **given)

        found = publisher.find_foreign(["pe"], make=True)

    assert {one.what for one in found} == {f"exchange {name}" for name in EXCHANGES}
    assert {one.wanted.partition("=")[0] for one in found} == {option}


def test_declaring_names_an_exchange_of_another_type_too(rabbitmq: RabbitMQHost):
    spoil_exchange(rabbitmq, "reports")

    with pytest.raises(ForeignQueueError) as error:
        declare(rabbitmq.url, ["pe"])

    assert error.value.queue.name == "exchange reports"
    assert (error.value.queue.wanted, error.value.queue.present) == (
        "type=direct",
        "type=headers",
    )


def test_a_broker_that_is_away_is_no_foreign_queue():
    with (
        closing(Publisher("redis://127.0.0.1:1/0")) as publisher,
        pytest.raises(BrokerUnavailableError),
    ):
        publisher.find_foreign(["pe"])
