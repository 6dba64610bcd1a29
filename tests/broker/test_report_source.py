from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import kombu
import pytest

from orchestrator.contracts.names import is_rabbitmq, report_queue
from orchestrator.contracts.wire import MESSAGE_MAX_BYTES
from orchestrator.domain.errors import SupersededError
from orchestrator.messaging.codec import RawMessage
from orchestrator.messaging.errors import BrokerUnavailableError
from orchestrator.messaging.limits import BATCH_MAX_BYTES, BATCH_MAX_MESSAGES
from orchestrator.messaging.publisher import Publisher
from orchestrator.messaging.report_source import ReportSource, open_report_source
from orchestrator.messaging.topology import declare
from tests.fixtures.brokers import Broker, RabbitMQHost, RedisServer
from tests.fixtures.waiting import eventually


@contextmanager
def reading(url: str, *, epoch: int = 1) -> Iterator[ReportSource]:
    with closing(open_report_source(url, epoch=epoch)) as source:
        yield source


@contextmanager
def publishing(url: str) -> Iterator[Callable[..., None]]:
    with closing(Publisher(url)) as publisher:

        def publish(*bodies: bytes) -> None:
            for body in bodies:
                publisher.publish_report_body(body, {"signature": "abc"})

        yield publish


def read(source: ReportSource, count: int) -> list[RawMessage]:
    """Read and acknowledge batches until *count* messages came."""
    found: list[RawMessage] = []

    def complete() -> bool:
        found.extend(source.batch(wait_seconds=0.2))
        source.ack()
        return len(found) >= count

    eventually(complete)
    return found


def read_unacknowledged(source: ReportSource, count: int) -> list[RawMessage]:
    """Read the same batch again until it holds *count* messages."""
    found: list[RawMessage] = []

    def complete() -> bool:
        found[:] = source.batch(wait_seconds=0.2)
        source.requeue()
        return len(found) >= count

    eventually(complete)
    found[:] = source.batch(wait_seconds=0.2)
    return found


def bodies(messages: list[RawMessage]) -> list[bytes]:
    return [message.body for message in messages]


def numbered(count: int) -> list[bytes]:
    return [f'{{"n": {n}}}'.encode() for n in range(count)]


def test_a_report_arrives_with_its_bytes_and_its_headers(broker: Broker):
    with publishing(broker.url) as publish, reading(broker.url) as source:
        publish(b'{"a": "\xc3\xa4"}')

        message = read(source, 1)[0]

    assert message.problem is None
    assert message.body == b'{"a": "\xc3\xa4"}'
    assert message.headers["signature"] == "abc"


def test_reports_come_in_the_order_in_which_they_were_sent(broker: Broker):
    with publishing(broker.url) as publish, reading(broker.url) as source:
        publish(*numbered(700))

        assert bodies(read(source, 700)) == numbered(700)


def test_a_batch_is_at_most_500_messages(broker: Broker):
    with publishing(broker.url) as publish, reading(broker.url) as source:
        publish(*numbered(BATCH_MAX_MESSAGES + 20))

        batch = read_unacknowledged(source, BATCH_MAX_MESSAGES)

    assert len(batch) == BATCH_MAX_MESSAGES


def test_a_batch_is_about_16_mebibytes(broker: Broker):
    large = b'"' + b"x" * (MESSAGE_MAX_BYTES - 2) + b'"'

    with publishing(broker.url) as publish, reading(broker.url) as source:
        publish(*[large] * 20)
        sizes: list[int] = []

        def complete() -> bool:
            sizes.append(sum(map(len, bodies(list(source.batch(wait_seconds=0.2))))))
            source.ack()
            return sum(sizes) == 20 * len(large)

        eventually(complete)

    assert max(sizes) <= BATCH_MAX_BYTES


def test_an_empty_queue_gives_an_empty_batch_after_the_wait(broker: Broker):
    with reading(broker.url) as source:
        started = time.monotonic()

        assert list(source.batch(wait_seconds=0.3)) == []
        assert 0.25 < time.monotonic() - started < 2


def test_a_waiting_reader_gets_a_report_as_soon_as_it_is_sent(broker: Broker):
    with publishing(broker.url) as publish, reading(broker.url) as source:
        publish(b"1")
        read(source, 1)
        timer = threading.Timer(0.3, publish, [b"2"])
        timer.start()
        started = time.monotonic()

        batch = source.batch(wait_seconds=10)
        waited = time.monotonic() - started
        timer.join()

    assert bodies(list(batch)) == [b"2"]
    assert waited < 5


def test_a_requeued_batch_is_read_again_in_order_before_what_came_later(broker: Broker):
    with publishing(broker.url) as publish, reading(broker.url) as source:
        publish(*numbered(10))
        read_unacknowledged(source, 10)
        publish(b'"later"')

        source.requeue()

        assert bodies(read(source, 11)) == [*numbered(10), b'"later"']


def test_what_was_not_acknowledged_is_read_by_the_next_reader_first(broker: Broker):
    with publishing(broker.url) as publish:
        with reading(broker.url, epoch=1) as first:
            publish(*numbered(5))
            read_unacknowledged(first, 5)
        publish(b'"later"')

        with reading(broker.url, epoch=2) as second:
            assert bodies(read(second, 6)) == [*numbered(5), b'"later"']


def test_what_was_acknowledged_is_never_read_again(broker: Broker):
    with publishing(broker.url) as publish:
        with reading(broker.url, epoch=1) as first:
            publish(*numbered(5))
            read(first, 5)
        publish(b'"later"')

        with reading(broker.url, epoch=2) as second:
            assert bodies(read(second, 1)) == [b'"later"']


def test_depth_counts_what_waits_without_the_batch_in_hand(broker: Broker):
    with publishing(broker.url) as publish, reading(broker.url) as source:
        publish(*numbered(3))
        read_unacknowledged(source, 3)

        assert source.depth() == 0

        source.requeue()

        assert source.depth() == 3


GARBAGE = {
    "text": ("garbage", None, "text/plain", {}),
    "pickle": (b"\x80\x04.", None, "application/x-python-serialize", {}),
    "raw bytes": (b"{}", None, "application/data", {}),
    "compressed": (b"x\x9c\x03\x00", None, "application/json", {"compression": "gzip"}),
    "another encoding": (b"{}", "binary", "application/json", {}),
    "2 MiB": (b"x" * 2 * MESSAGE_MAX_BYTES, None, "application/json", {}),
    "bytes that are no text": (b"\xff\xfe", None, "application/json", {}),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_comes_out_as_a_message_and_blocks_nothing(broker: Broker, name: str):
    body, encoding, content_type, headers = GARBAGE[name]
    declare(broker.url, [])
    with ExitStack() as stack:
        connection = stack.enter_context(kombu.Connection(broker.url))
        queue = report_queue(rabbitmq=is_rabbitmq(broker.url))
        producer = connection.Producer()
        producer.publish(
            body,
            exchange=queue.exchange,
            routing_key=queue.routing_key,
            content_type=content_type,
            content_encoding=encoding or "utf-8",
            headers=headers,
        )
        publish = stack.enter_context(publishing(broker.url))
        publish(b'"after"')
        source = stack.enter_context(reading(broker.url))

        messages = read(source, 2)

    assert messages[1].body == b'"after"'
    assert len(messages[0].body) <= 4096
    if name != "bytes that are no text":
        assert messages[0].problem is not None


def test_garbage_that_is_no_envelope_blocks_nothing(redis_server: RedisServer):
    raw = [b"garbage", b"[1]", b"", b"\xff", b"{}", b"[" * 100_000, b"x" * 5_000_000]
    with redis_server.client() as client:
        client.lpush("reports", *raw)
        with (
            publishing(redis_server.url) as publish,
            reading(redis_server.url) as source,
        ):
            publish(b'"after"')

            messages = read(source, len(raw) + 1)

    assert [m.problem is not None for m in messages] == [True] * len(raw) + [False]
    assert messages[-2].problem == "too large: 5000000 bytes"
    assert max(len(message.body) for message in messages) <= 4096


def test_a_reader_that_was_replaced_moves_nothing_any_more(redis_server: RedisServer):
    url = redis_server.url
    with publishing(url) as publish, reading(url, epoch=1) as old:
        assert list(old.batch(wait_seconds=0)) == []
        with reading(url, epoch=2) as new:
            publish(b"1")

            with pytest.raises(SupersededError):
                old.batch(wait_seconds=0)
            assert bodies(list(new.batch(wait_seconds=0))) == [b"1"]


def test_a_reader_that_is_replaced_while_it_waits_moves_nothing(
    redis_server: RedisServer,
):
    url = redis_server.url
    failures: list[Exception] = []

    def wait_for_a_report(source: ReportSource) -> None:
        try:
            source.batch(wait_seconds=10)
        except SupersededError as exc:
            failures.append(exc)

    with publishing(url) as publish, redis_server.client() as inside:
        old = open_report_source(url, epoch=1)
        waiting = threading.Thread(target=wait_for_a_report, args=[old])
        waiting.start()
        eventually(lambda: inside.info("clients")["blocked_clients"] == 1)
        with reading(url, epoch=2) as new:
            publish(b"1")
            waiting.join()

            assert bodies(list(new.batch(wait_seconds=0))) == [b"1"]
        old.close()

    assert len(failures) == 1


def test_a_late_acknowledgement_of_a_replaced_reader_removes_nothing(
    redis_server: RedisServer,
):
    url = redis_server.url
    with publishing(url) as publish, reading(url, epoch=1) as old:
        publish(b"1", b"2")
        old.batch(wait_seconds=0)
        with reading(url, epoch=2) as new:
            old.ack()

            assert bodies(list(new.batch(wait_seconds=0))) == [b"1", b"2"]


def test_reading_goes_on_after_everything_was_flushed(redis_server: RedisServer):
    with (
        publishing(redis_server.url) as publish,
        reading(redis_server.url) as source,
        redis_server.client() as inside,
    ):
        publish(*numbered(3))
        source.batch(wait_seconds=0)

        inside.flushall()
        publish(b'"after"')
        source.ack()

        assert bodies(read(source, 1)) == [b'"after"']


def test_reading_goes_on_after_an_empty_restart(redis_server: RedisServer):
    with reading(redis_server.url, epoch=7) as source:
        assert list(source.batch(wait_seconds=0)) == []
        redis_server.stop()

        with pytest.raises(BrokerUnavailableError):
            source.batch(wait_seconds=0)

        redis_server.start()
        with publishing(redis_server.url) as publish:
            publish(b"1")

            assert bodies(read(source, 1)) == [b"1"]


def test_a_restart_between_two_batches_is_no_error_and_is_told(
    redis_server: RedisServer,
):
    with reading(redis_server.url) as source:
        source.batch(wait_seconds=0)
        assert not source.was_interrupted()
        redis_server.stop()
        redis_server.start()

        assert list(source.batch(wait_seconds=0)) == []

        assert source.was_interrupted()
        assert not source.was_interrupted()


def test_a_reader_opened_before_its_broker_reads_when_it_is_there(
    redis_server: RedisServer,
):
    redis_server.stop()
    with reading(redis_server.url) as source:
        redis_server.start()
        with publishing(redis_server.url) as publish:
            publish(b"1")

            assert bodies(read(source, 1)) == [b"1"]


def test_an_unacknowledged_batch_is_delivered_again_after_a_closed_connection(
    rabbitmq: RabbitMQHost,
):
    with publishing(rabbitmq.url) as publish:
        publish(*numbered(5))
    with reading(rabbitmq.url) as source:
        read_unacknowledged(source, 5)
        assert not source.was_interrupted()
        rabbitmq.close_connections()

        assert bodies(read(source, 5)) == numbered(5)
        assert source.was_interrupted()


def test_reading_goes_on_when_the_connection_ends_before_the_acknowledgement(
    rabbitmq: RabbitMQHost,
):
    """Whether that acknowledgement still arrived is the broker's secret."""
    with publishing(rabbitmq.url) as publish, reading(rabbitmq.url) as source:
        publish(*numbered(5))
        read_unacknowledged(source, 5)
        rabbitmq.close_connections()
        with contextlib.suppress(BrokerUnavailableError):
            source.ack()
        with publishing(rabbitmq.url) as publish_later:
            publish_later(b'"after"')
        found: list[bytes] = []

        def complete() -> bool:
            found.extend(bodies(list(source.batch(wait_seconds=0.2))))
            source.ack()
            return b'"after"' in found

        eventually(complete)

    assert found in ([b'"after"'], [*numbered(5), b'"after"'])
