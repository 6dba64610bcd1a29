"""
A Redis that is full, or takes no writes: what empties it works, what would fill it is
refused in words that an operator can use, and hold nothing of a message.
"""

from __future__ import annotations

from contextlib import closing

import pytest
import redis

from orchestrator.messaging.errors import BrokerUnavailableError
from orchestrator.messaging.publisher import Publisher
from orchestrator.messaging.redis_keys import TAKEN
from orchestrator.messaging.report_source import open_report_source
from tests.fixtures.brokers import RedisServer
from tests.fixtures.outgoing import outgoing

REPORTS = 3_000


def test_one_that_is_full_of_reports_is_drained(redis_server: RedisServer):
    with (
        redis_server.client() as client,
        closing(Publisher(redis_server.url)) as publisher,
    ):
        for number in range(REPORTS):
            publisher.publish_report_body(b'{"n": %d}' % number, {"pad": "x" * 900})
        used = client.info("memory")["used_memory"]
        client.config_set("maxmemory", used - 1_000_000)
        with pytest.raises(redis.OutOfMemoryError):
            client.lpush("reports", "more")
        # A reader that comes only now, so that not even its scripts are known.
        with closing(open_report_source(redis_server.url, epoch=7)) as source:
            read = []
            while batch := source.batch(wait_seconds=0.1):
                read += [message.body for message in batch]
                source.ack()

        assert read == [b'{"n": %d}' % number for number in range(REPORTS)]
        assert (client.llen("reports"), client.llen(TAKEN)) == (0, 0)
        # There is room again, for everybody.
        publisher.publish_report_body(b"{}", {})


def test_waiting_at_one_that_is_full_is_neither_an_error_nor_a_busy_loop(
    redis_server: RedisServer,
):
    redis_server.fill()
    with (
        closing(open_report_source(redis_server.url, epoch=1)) as source,
        redis_server.client() as client,
    ):
        before = client.info("stats")["total_commands_processed"]

        assert source.batch(wait_seconds=1.5) == []

        asked = client.info("stats")["total_commands_processed"] - before
    assert asked < 40


@pytest.mark.parametrize(
    ("refuse", "remedy"), [("fill", "maxmemory"), ("demote", "REPLICAOF NO ONE")]
)
def test_what_it_refuses_is_said_with_a_remedy_and_nothing_of_a_message(
    redis_server: RedisServer, refuse: str, remedy: str
):
    with closing(Publisher(redis_server.url)) as publisher:
        assert publisher.publish([outgoing("pe", 1)]).error is None
        getattr(redis_server, refuse)()

        result = publisher.publish([outgoing("pe", 2)])
        with pytest.raises(BrokerUnavailableError) as report:
            publisher.publish_report_body(b"{}", {})

    assert len(result.refused) == 1
    for said in (str(result.error), str(report.value)):
        assert remedy in said
        assert "LPUSH" not in said
        assert redis_server.password not in said


def test_a_reader_of_one_that_takes_no_writes_reads_on_when_it_does(
    redis_server: RedisServer,
):
    with (
        closing(Publisher(redis_server.url)) as publisher,
        closing(open_report_source(redis_server.url, epoch=1)) as source,
    ):
        publisher.publish_report_body(b'{"n": 1}', {})
        redis_server.demote()
        with pytest.raises(BrokerUnavailableError):
            source.batch(wait_seconds=0.1)
        redis_server.promote()

        (message,) = source.batch(wait_seconds=5)

    assert message.body == b'{"n": 1}'
