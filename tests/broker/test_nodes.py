"""
Replicas and maintenance, and what anybody may send them through the broker.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import amqp
import pytest
from celery import Celery
from celery.worker.control import Panel
from kombu import Connection

from orchestrator.contracts.names import (
    MAINTENANCE,
    STOP_COMMAND,
    TICK_TASK,
    is_rabbitmq,
)
from orchestrator.contracts.node.commands import ANSWERED, REFUSED
from orchestrator.messaging.topology import redis_client
from tests.fixtures import garbage
from tests.fixtures.brokers import Broker
from tests.fixtures.field import Field
from tests.fixtures.garbage import MARK, Item
from tests.fixtures.stack import DatabaseServer
from tests.fixtures.waiting import eventually

WORKER = """
from workers import Analysis, Sample, analyzer

@analyzer("node_worker", version="1")
def analyse(sample: Sample) -> Analysis:
    return Analysis(score=1)
"""
NAME = "node_worker"
TASK = f"assay.analyze.{NAME}"

#: Of each command of Celery's what it needs to do its worst.
ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "query_task": {"ids": ["x"]},
    "revoke": {"task_id": "x"},
    "revoke_by_stamped_headers": {"headers": {"a": "b"}},
    "terminate": {"task_id": "x", "signal": "KILL"},
    "rate_limit": {"task_name": TASK, "rate_limit": "1/h"},
    "time_limit": {"task_name": TASK, "hard": 1, "soft": 1},
    "election": {"id": "x", "topic": "x", "action": None},
    "hello": {"from_node": "x", "revoked": {"x": 1}},
    "pool_grow": {"n": 3},
    "pool_shrink": {"n": 1},
    "autoscale": {"max": 9, "min": 9},
    "add_consumer": {"queue": "stolen"},
    "cancel_consumer": {"queue": f"worker.{NAME}"},
    STOP_COMMAND: {"attempts": []},
}


@dataclass
class Nodes:
    """A field with one replica, and how to write to its broker whatever one likes."""

    field: Field
    app: Celery
    replica: str
    maintenance: str
    channel: Any

    @property
    def is_redis(self) -> bool:
        return not is_rabbitmq(self.field.broker_url)

    @property
    def both(self) -> list[str]:
        return [self.replica, self.maintenance]

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Send *command* to both, and return what each answers."""
        answers: dict[str, Any] = {}
        for answer in self.app.control.broadcast(
            command,
            arguments=arguments,
            destination=self.both,
            reply=True,
            limit=2,
            timeout=20,
        ):
            answers.update(answer)
        return answers

    def send(self, exchange: str, queue: str, item: Item) -> None:
        """Publish *item* on RabbitMQ, as far as the protocol can say it."""
        if float("inf") in item.headers.values():
            raise ValueError("RabbitMQ closes the connection of whoever says this")
        message = amqp.Message(
            item.body.encode("utf-8", "replace"),
            content_type=item.content_type,
            content_encoding=item.content_encoding,
            application_headers=item.headers,
            **item.properties,
        )
        self.channel.basic_publish(message, exchange=exchange, routing_key=queue)

    def starts(self) -> dict[str, int]:
        names = (f"replica-{NAME}", "maintain-0")
        return {name: self.field.keeper.members[name].starts for name in names}

    def logs(self) -> str:
        names = (f"replica-{NAME}", "maintain-0")
        return "".join((self.field.folder / f"{n}.log").read_text() for n in names)

    def peak_bytes(self) -> int:
        """Return the most memory that either of the two ever had."""
        pids = [self.field.keeper.pid(name) for name in self.starts()]
        return max(_peak_bytes(pid) for pid in pids)

    def require_alive(self) -> None:
        """Work goes on: jobs end, ticks come, both answer, and neither was replaced."""
        before = self._watermark()
        self.field.job(str(time.monotonic()).encode())
        self.field.wait_until_done()
        eventually(lambda: self._watermark() > before)
        assert set(self.field.endings()) == {"success"}
        assert self.ask("ping") == {name: {"ok": "pong"} for name in self.both}
        assert self.starts() == dict.fromkeys(self.starts(), 1)

    def _watermark(self) -> Any:
        return self.field.rows("SELECT watermark_at FROM stream")[0].watermark_at


def _peak_bytes(pid: int | None) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@pytest.fixture(scope="module")
def nodes(
    database_server: DatabaseServer,
    module_broker: Broker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Nodes]:
    broker = module_broker
    url = database_server.url_of(database_server.create())
    with contextlib.ExitStack() as stack:
        field = Field(url, broker.url, tmp_path_factory.mktemp("field"))
        stack.callback(field.close)
        field.start()
        field.replicas({NAME: WORKER}, slots=2)
        app = Celery(broker=broker.url, set_as_current=False)
        channel = stack.enter_context(Connection(broker.url)).channel()
        eventually(lambda: len(app.control.ping(timeout=2)) == 2)
        names = sorted(name for answer in app.control.ping() for name in answer)
        maintenance, replica = names
        found = Nodes(field, app, replica, maintenance, channel)
        yield found
        app.close()


@pytest.mark.timeout(240)
def test_only_what_is_on_the_list_is_answered(nodes: Nodes):
    """All that this Celery knows, and what another may."""
    before = nodes.ask("stats")
    names = {*Panel.data, *ANSWERED, "a_command_of_the_next_celery"}

    answers = {name: nodes.ask(name, **ARGUMENTS.get(name, {})) for name in names}

    refused = {
        node: {name for name in names if _is_refused(answers[name][node])}
        for node in nodes.both
    }
    assert refused[nodes.replica] == names - set(ANSWERED)
    assert refused[nodes.maintenance] == names - set(ANSWERED) | {STOP_COMMAND}
    done = {name for name in ANSWERED if "failed" in json.dumps(answers[name])}
    assert done == set()
    _nothing_has_changed(nodes, before)
    _no_secret_shows(nodes, json.dumps(answers, default=str))


def _is_refused(answer: Any) -> bool:
    return isinstance(answer, dict) and answer.get("error") == REFUSED


def _nothing_has_changed(nodes: Nodes, before: Mapping[str, Any]) -> None:
    now = nodes.ask("stats")
    for node in nodes.both:
        assert now[node]["pool"].get("max-concurrency") == (
            before[node]["pool"].get("max-concurrency")
        )
    queues = nodes.ask("active_queues")
    assert [queue["name"] for queue in queues[nodes.replica]] == [f"worker.{NAME}"]
    assert [queue["name"] for queue in queues[nodes.maintenance]] == [MAINTENANCE]
    assert nodes.ask("revoked") == {node: [] for node in nodes.both}
    nodes.require_alive()


def _no_secret_shows(nodes: Nodes, answers: str) -> None:
    (row,) = nodes.field.rows("SELECT generation FROM worker")
    enrolment = nodes.field.engine.keys.enrolment_secret(NAME, row.generation)
    ring = nodes.field.environment["ASSAY_SECRET_KEY"].partition(":")[2]
    hidden = [enrolment, ring, nodes.field.database_url]
    password = Connection(nodes.field.broker_url).password
    if nodes.is_redis:
        # Of a socket kombu has it in the middle of the URL.
        password = nodes.field.broker_url.partition(":@")[0].partition("//:")[2]
        password = password.partition("@")[0]
    hidden.append(f":{password}@")
    hidden += [password] if nodes.is_redis else []
    assert password
    for secret in hidden:
        assert secret not in answers


@pytest.mark.timeout(280)
def test_no_item_of_a_queue_ends_a_process_or_is_printed(nodes: Nodes):
    base = nodes.peak_bytes()

    for queue, task, arguments in (
        (f"worker.{NAME}", TASK, {"assignment": {"job": MARK}}),
        (MAINTENANCE, TICK_TASK, {}),
    ):
        sent = _fill(nodes, queue, task, arguments)
        assert sent > 250

    nodes.require_alive()
    eventually(lambda: _waiting(nodes) == 0)
    nodes.require_alive()
    logs = nodes.logs()
    assert MARK not in logs
    assert "Traceback" not in logs
    discarded = [
        line
        for line in map(json.loads, logs.splitlines())
        if line["event"] == "message.discarded" and "sha256" in line
    ]
    # Of the worker's queue, of each fault one a minute; of maintenance's each round
    # drops what waits, unread.
    assert len({line["reason"] for line in discarded}) > 10
    assert all({"reason", "size_bytes", "sha256"} <= set(line) for line in discarded)
    # Nothing was inflated.
    assert nodes.peak_bytes() - base < 256 * 1024 * 1024
    assert _stolen(nodes) == 0


def _fill(nodes: Nodes, queue: str, task: str, arguments: Mapping[str, Any]) -> int:
    if nodes.is_redis:
        envelopes = list(garbage.envelopes(queue, task, arguments))
        with contextlib.closing(redis_client(nodes.field.broker_url)) as client:
            for raw in envelopes:
                client.lpush(queue, raw)
        return len(envelopes)
    sent = 0
    for item in garbage.items(task, arguments):
        # What the protocol cannot say cannot come.
        with contextlib.suppress(*_UNSAYABLE):
            nodes.send("", queue, item)
            sent += 1
    return sent


#: Of what builds a frame from something that fits into none.
_UNSAYABLE = (
    TypeError,
    ValueError,
    AttributeError,
    struct.error,
    amqp.exceptions.FrameSyntaxError,
)


def _waiting(nodes: Nodes) -> int:
    return sum(_length(nodes, name) for name in (f"worker.{NAME}", MAINTENANCE))


def _stolen(nodes: Nodes) -> int:
    return _length(nodes, "stolen")


def _length(nodes: Nodes, queue: str) -> int:
    if nodes.is_redis:
        with contextlib.closing(redis_client(nodes.field.broker_url)) as client:
            return int(client.llen(queue))
    with Connection(nodes.field.broker_url) as connection, connection.channel() as ask:
        try:
            return int(ask.queue_declare(queue, passive=True).message_count)
        except amqp.exceptions.NotFound:
            return 0


@pytest.mark.timeout(240)
def test_no_command_ends_a_process_or_is_printed(nodes: Nodes):
    if not nodes.is_redis:
        nodes.channel.queue_declare("stolen", durable=False, auto_delete=False)
    base = nodes.peak_bytes()
    sent = 0

    for node in nodes.both:
        for body in garbage.commands(node):
            sent += _command(nodes, Item(body, {"clock": 1}))
    clocks = itertools.cycle((10**400, 2**62, MARK, [MARK], None, -1))
    for number, item in enumerate(garbage.items(TASK, {})):
        item.headers["clock"] = next(clocks)
        sent += _command(nodes, item)
        if not number % 20:
            # Redis cuts off who does not read what is sent to many.
            assert len(nodes.ask("ping")) == 2

    nodes.require_alive()
    assert sent > 200
    assert MARK not in nodes.logs()
    assert "Traceback" not in nodes.logs()
    assert nodes.peak_bytes() - base < 256 * 1024 * 1024
    assert _stolen(nodes) == 0


def _command(nodes: Nodes, item: Item) -> int:
    if nodes.is_redis:
        raw = json.dumps(garbage.envelope(item, "")).encode()
        with contextlib.closing(redis_client(nodes.field.broker_url)) as client:
            heard = client.publish("/0.celery.pidbox", raw)
            client.publish("/0.celery.pidbox", raw[: len(raw) // 2][:1000])
        assert heard == 2
        return 1
    try:
        nodes.send("celery.pidbox", "", item)
    except _UNSAYABLE:
        return 0
    return 1
