"""
How a replica's words get to ``reports``, on both brokers.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial

import pytest
from kombu import Connection

from orchestrator.contracts.names import REPORTS, is_rabbitmq, report_queue
from orchestrator.messaging.report_source import open_report_source
from orchestrator.messaging.topology import declare
from tests.fixtures.brokers import Broker, RabbitMQHost
from tests.fixtures.waiting import eventually
from workers.replica.outbox import Outbox, UnroutableError, open_outbox


def outbox_of(broker: Broker) -> Outbox:
    rabbitmq = is_rabbitmq(broker.url)
    if rabbitmq:
        declare(broker.url, [])
    return open_outbox(
        partial(Connection, broker.url),
        report_queue(rabbitmq=rabbitmq),
        rabbitmq=rabbitmq,
    )


def test_a_batch_arrives_whole_signed_and_in_its_order(broker: Broker):
    said = [(f'{{"n": {n}}}'.encode(), {"signature": f"of {n}"}) for n in range(200)]
    with closing(outbox_of(broker)) as outbox:
        outbox.send(said[:150])
        outbox.send(said[150:])

    heard: list[tuple[bytes, object]] = []
    with closing(open_report_source(broker.url, epoch=1)) as source:

        def all_of_it() -> bool:
            batch = source.batch(wait_seconds=1)
            heard.extend((raw.body, raw.headers["signature"]) for raw in batch)
            source.ack()
            return len(heard) >= len(said)

        eventually(all_of_it)
    assert heard == [(body, headers["signature"]) for body, headers in said]


def test_where_reports_has_gone_nothing_counts_as_said(rabbitmq: RabbitMQHost):
    with closing(outbox_of(rabbitmq)) as outbox:
        outbox.send([(b"{}", {})])
        with Connection(rabbitmq.url) as connection:
            connection.channel().queue_delete(REPORTS)

        with pytest.raises(UnroutableError, match=REPORTS):
            outbox.send([(b"{}", {}), (b"{}", {})])
