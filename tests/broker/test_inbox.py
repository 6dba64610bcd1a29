"""
How a replica reads its queue, on both brokers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import UUID

import pytest
from kombu import Connection, Producer

from orchestrator.contracts.envelope import redis_envelope
from orchestrator.contracts.names import is_rabbitmq, worker_queue
from orchestrator.contracts.node.messages import Parcel
from orchestrator.messaging.publisher import Publisher
from orchestrator.messaging.topology import declare
from tests.fixtures.brokers import Broker, RedisServer
from tests.fixtures.outgoing import outgoing
from tests.fixtures.waiting import eventually
from workers.replica.inbox import Bell, Inbox, open_inbox
from workers.replica.settings import Settings

WORKER = "reader"
SLOTS = 3


class Hands:
    """Whoever reads: has room for so many."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.is_open = True


def number_of(parcel: Parcel) -> int:
    call = json.loads(parcel.content)
    return UUID(call[1]["assignment"]["task_id"]).int


def send(broker: Broker, *numbers: int) -> None:
    with closing(Publisher(broker.url)) as publisher:
        result = publisher.publish([outgoing(WORKER, number) for number in numbers])
        assert not result.refused


@pytest.fixture
def inbox(broker: Broker) -> Iterator[Inbox]:
    if is_rabbitmq(broker.url):
        declare(broker.url, [WORKER])
    settings = Settings(broker_url=broker.url, api_url="http://x", secret="secret")
    with closing(open_inbox(settings, WORKER, SLOTS, Bell())) as opened:
        yield opened


def taken(inbox: Inbox, hands: Hands, count: int) -> list[Parcel]:
    """Take until there are so many; RabbitMQ delivers them one after the other."""
    found: list[Parcel] = []

    def enough() -> bool:
        found.extend(inbox.take(hands))
        return len(found) >= count

    eventually(enough)
    return found


def test_messages_come_in_their_order_and_never_more_than_there_is_room_for(
    broker: Broker, inbox: Inbox
):
    send(broker, *range(1, 11))

    first = taken(inbox, Hands(SLOTS), SLOTS)
    assert [number_of(parcel) for parcel in first] == [1, 2, 3]
    for parcel in first:
        parcel.note_taken_up()
    rest = taken(inbox, Hands(SLOTS), SLOTS)

    assert [number_of(parcel) for parcel in rest] == [4, 5, 6]


def test_whoever_is_quick_has_the_next_before_the_first_is_taken_up(
    broker: Broker, inbox: Inbox
):
    send(broker, *range(1, 11))

    found = taken(inbox, Hands(2 * SLOTS), 2 * SLOTS)

    assert [number_of(parcel) for parcel in found[: 2 * SLOTS]] == [1, 2, 3, 4, 5, 6]


def test_what_comes_when_it_was_shut_stays_for_others(broker: Broker, inbox: Inbox):
    hands = Hands(SLOTS)
    send(broker, 1)
    taken(inbox, hands, 1)[0].note_taken_up()

    hands.is_open = False
    inbox.take(hands)
    send(broker, 2)

    assert not inbox.take(hands)
    hands.is_open = True
    assert [number_of(parcel) for parcel in taken(inbox, hands, 1)] == [2]


def test_on_redis_what_a_call_still_brought_goes_back_in_its_order(
    redis_server: RedisServer,
):
    settings = Settings(
        broker_url=redis_server.url, api_url="http://x", secret="secret"
    )

    class Shutting:
        """Shut while the call waits."""

        room = 5
        looked = 0

        @property
        def is_open(self) -> bool:
            self.looked += 1
            return self.looked == 1

    send(redis_server, 1, 2, 3)
    with closing(open_inbox(settings, WORKER, SLOTS, Bell())) as opened:
        assert list(opened.take(Shutting())) == []
        numbers = [number_of(parcel) for parcel in opened.take(Hands(5))]

    assert numbers == [1, 2, 3]


def test_garbage_in_the_list_is_dropped(redis_server: RedisServer):
    settings = Settings(
        broker_url=redis_server.url, api_url="http://x", secret="secret"
    )
    key = worker_queue(WORKER, rabbitmq=False).name
    redis_server.client().lpush(key, b"garbage", b"{}", b"\xff" * 100)
    send(redis_server, 7)

    with closing(open_inbox(settings, WORKER, SLOTS, Bell())) as opened:
        numbers = [number_of(parcel) for parcel in opened.take(Hands(9))]

    assert numbers == [7]


def test_an_envelope_is_what_kombu_would_push(redis_server: RedisServer):
    body, headers = b'{"a": "\xc3\xa4"}', {"id": "x", "signature": "y"}
    properties = {"correlation_id": "x", "reply_to": ""}
    queue = worker_queue(WORKER, rabbitmq=False)
    with Connection(redis_server.url) as connection, connection.channel() as channel:
        Producer(channel).publish(
            body,
            exchange=queue.exchange,
            routing_key=queue.routing_key,
            content_type="application/json",
            content_encoding="utf-8",
            headers=headers,
            **properties,
        )
    kombus = document(redis_server.client().rpop(queue.name))

    ours = document(
        redis_envelope(body, headers, queue=queue.name, properties=properties)
    )

    assert ours == kombus


def document(raw: Any) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(raw)
    del read["properties"]["delivery_tag"]
    return read
