"""
Whatever comes in ``reports``, the consumer reaches what stands behind it.
"""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import amqp
import pytest
from kombu import Connection

from orchestrator.consumer import consume
from orchestrator.contracts.alive import Canary, Manifest
from orchestrator.contracts.names import REPORTS
from orchestrator.contracts.signature import body_signature
from orchestrator.contracts.wire import SIGNATURE_HEADER
from orchestrator.db.history import KEPT_REJECTED
from orchestrator.messaging.report_source import open_report_source
from tests.fixtures.brokers import Broker, RedisServer
from tests.fixtures.engine import KEYS, Rig
from tests.fixtures.hostile import (
    Message,
    Prototype,
    as_id,
    mutants,
    odd_properties,
    redis_envelope,
)
from tests.fixtures.rounds import IS_LONG

_COUNT = 10_000 if IS_LONG else 3_000

#: Of how many of them the envelope is odd too.
_OF_ENVELOPES = 0.1

FOUND: dict[str, Any] = {
    "score": 5,
    "result": {"a": [1, "b", {"c": None}]},
    "tags": [{"type": "family", "value": "x"}],
    "detections": [{"name": "x", "assessment": "malicious"}],
    "possible_detections": 3,
    "override": "malicious",
    "profile": "p",
    "internet_access": True,
    "references": [{"kind": "child", "sha256": "0" * 64, "size": 1, "file_name": "f"}],
}


@pytest.fixture
def consumer(rig: Rig, broker: Broker) -> Iterator[None]:
    stopping = threading.Event()
    thread = threading.Thread(
        target=consume,
        args=(rig.database, lambda epoch: open_report_source(broker.url, epoch=epoch)),
        kwargs={"engine": rig.engine, "stopping": stopping},
    )
    thread.start()
    yield
    stopping.set()
    thread.join()


def test_the_consumer_reaches_what_stands_behind_thousands_of_hostile_messages(
    rig: Rig, broker: Broker, consumer: None
):
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    rig.worker("alpha")
    jobs = [rig.job(bytes([number])) for number in range(20)]
    last_job = rig.job(b"last")
    messages = mutants(prototypes(rig, jobs), dice=dice, count=_COUNT)

    send_all(broker, messages, dice=dice)
    behind = rig.now()
    send_all(broker, [behind_them(rig, last_job), canary(behind)])

    assert arrives(rig, behind), f"random.Random({seed}) stops the consumer"
    assert rig.task(last_job).state == "success"
    counted = rig.execute(
        "SELECT coalesce(sum(value), 0) AS n FROM counter"
        " WHERE name LIKE 'reports_rejected%'"
    )[0].n
    kept = rig.execute("SELECT kind, count(*) AS n FROM rejected_report GROUP BY kind")
    assert counted > _COUNT / 2
    assert kept
    assert all(row.n <= KEPT_REJECTED for row in kept)


def prototypes(rig: Rig, jobs: list[Any]) -> list[Prototype]:
    """Return messages of all kinds that would be applied, as many of one as another."""
    tasks = [rig.task(job) for job in jobs]
    reports = [
        Prototype(fields=report, sign=give_token, headers=signer(rig))
        for task in tasks
        for report in reports_of(rig, task)
    ]
    heartbeat = heartbeats(rig, tasks[0])
    of_ours = Prototype(fields=json.loads(canary(rig.now()).body))
    return [*reports, *[heartbeat] * len(reports), *[of_ours] * (len(reports) // 10)]


def reports_of(rig: Rig, task: Any) -> Iterator[dict[str, Any]]:
    for kind in ("executing", "success", "failed", "timed_out", "released"):
        message = rig.report(task, kind, message="m", replica="alpha-7@host")
        times = dict.fromkeys(("started_at", "ended_at"), "2026-01-01T00:00:00Z")
        found = {"analysis": FOUND} if kind == "success" else {}
        yield {**json.loads(message.body), **times, **found}


def give_token(fields: dict[str, Any]) -> None:
    """Let a changed report have the token of what it now says it is about."""
    task_id, attempt = as_id(fields.get("task_id")), fields.get("attempt")
    worker = fields.get("worker")
    if task_id and isinstance(attempt, int) and worker == "alpha":
        fields["token"] = KEYS.attempt_token(task_id, attempt, worker)


def heartbeats(rig: Rig, task: Any) -> Prototype:
    manifest = Manifest(
        localized_names={"english": "A"}, result_schema={"type": "object"}, max_bytes=9
    )
    message = rig.alive("alpha-7@host", (task.id, 1), manifest=manifest)
    alive = json.loads(message.body)
    sequences = itertools.count(alive["sequence"] + 1)

    def grow(fields: dict[str, Any]) -> None:
        # Above the last one, or it would be stale before it could do harm.
        if fields.get("sequence") == alive["sequence"]:
            fields["sequence"] = next(sequences)

    return Prototype(fields=alive, sign=grow, headers=signer(rig))


def signer(rig: Rig) -> Callable[[bytes], dict[str, str]]:
    secret = rig.secrets["alpha"]
    return lambda body: {SIGNATURE_HEADER: body_signature(secret, body)}


def behind_them(rig: Rig, job: Any) -> Message:
    message = rig.report(rig.task(job), "success")
    return Message(body=message.body, headers=message.headers)


def canary(sent_at: Any) -> Message:
    token = KEYS.canary_token(sent_at.isoformat())
    message = Canary(sent_at=sent_at, token=token)
    return Message(body=message.model_dump_json().encode())


def arrives(rig: Rig, sent_at: Any) -> bool:
    """Whether the watermark comes to *sent_at*, however long it takes."""
    patience = time.monotonic() + 300
    while time.monotonic() < patience:
        if rig.execute("SELECT watermark_at FROM stream")[0].watermark_at >= sent_at:
            return True
        time.sleep(0.1)
    return False


def send_all(
    broker: Broker, messages: Any, *, dice: random.Random | None = None
) -> None:
    """Send messages; with *dice* in envelopes of which some are odd too."""
    send = _to_redis if isinstance(broker, RedisServer) else _to_rabbitmq
    send(broker, messages, _now_and_then(dice))


def _now_and_then(dice: random.Random | None) -> Callable[[], random.Random | None]:
    if dice is None:
        return lambda: None
    return lambda: dice if dice.random() < _OF_ENVELOPES else None


def _to_redis(
    broker: Any, messages: Any, odd: Callable[[], random.Random | None]
) -> None:
    with broker.client() as client, client.pipeline(transaction=False) as pipe:
        for number, message in enumerate(messages):
            pipe.lpush(REPORTS, redis_envelope(message, dice=odd()))
            if number % 100 == 0:
                pipe.execute()
        pipe.execute()


def _to_rabbitmq(
    broker: Any, messages: Any, odd: Callable[[], random.Random | None]
) -> None:
    with Connection(broker.url) as connection:
        channel = connection.default_channel
        for message in messages:
            dice = odd()
            properties = {
                "content_type": "application/json",
                "content_encoding": "utf-8",
                "application_headers": dict(message.headers),
                **(odd_properties(dice) if dice else {}),
            }
            channel.basic_publish(
                amqp.Message(message.body, **properties),
                exchange=REPORTS,
                routing_key=REPORTS,
            )
