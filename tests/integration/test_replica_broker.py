"""What a replica does when its broker goes away and comes back with nothing in it."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from kombu import Connection

from orchestrator.contracts import names
from orchestrator.contracts.assignment import Assignment, celery_id
from orchestrator.contracts.report import Report
from tests.fixtures.replica import ACTOR, SECRET, Stage, stage
from tests.fixtures.servers import RedisServer
from tests.fixtures.waiting import PATIENCE_SECONDS, eventually
from workers import Analysis, Analyzer
from workers.replica import broker
from workers.replica.aside import Aside
from workers.replica.attempts import Attempt, Attempts
from workers.replica.identity import Identity
from workers.replica.outbox import open_outbox
from workers.replica.reporting import Line, Reporter
from workers.replica.skew import Skew

QUEUE = names.worker_queue("actor", rabbitmq=False).name


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as scene:
        yield scene


def test_after_a_restart_of_the_broker_it_consumes_and_beats_again(scene: Stage):
    scene.run(ACTOR)
    during = scene.desk.assign("actor", options={"sleep": 3})
    scene.desk.wait_for_state(during, "running")
    beats = len(scene.desk.heartbeats())

    scene.redis.kill()
    scene.redis.start()

    eventually(lambda: len(scene.desk.heartbeats()) > beats)
    after = scene.desk.assign("actor", options={"give": None})
    assert scene.desk.end_of(after).kind == "success"
    assert scene.desk.end_of(during).kind == "success"


def test_a_replica_starts_before_its_broker(scene: Stage):
    scene.redis.kill()
    ready = threading.Timer(1.5, scene.redis.start)
    ready.start()

    scene.run(ACTOR)
    ready.join()

    report = scene.desk.end_of(scene.desk.assign("actor", options={"give": None}))
    assert report.kind == "success"


def test_redis_holds_no_copy_of_what_a_replica_was_given(scene: Stage):
    scene.run(ACTOR, ASSAY_WORKER_SLOTS="1")
    running = scene.desk.assign("actor", options={"sleep": 60})
    waiting = scene.desk.assign("actor", options={"sleep": 60})
    scene.desk.wait_for_state(running, "running")
    scene.desk.wait_for_state(waiting, "received")

    copies = scene.redis.client.exists("unacked", "unacked_index")

    assert copies == 0
    assert scene.redis.client.llen(QUEUE) == 0


def test_what_was_not_acknowledged_is_back_in_its_order_once_closed(scene: Stage):
    sent = [scene.desk.assign("actor", options={"give": n}) for n in range(4)]
    connection = _replica_connection(scene)
    channel = connection.channel()
    taken = [channel.basic_get(QUEUE) for _ in range(3)]

    taken[0].ack()
    taken[1].requeue()
    connection.close()

    assert _waiting(scene) == [
        _id(assignment) for assignment in [sent[2], sent[3], sent[1]]
    ]


def test_what_returned_to_the_queue_is_done_by_the_next_replica(scene: Stage):
    sent = scene.desk.assign("actor", options={"give": {"n": 1}})
    connection = _replica_connection(scene)
    assert connection.channel().basic_get(QUEUE) is not None
    connection.close()

    scene.run(ACTOR)

    assert scene.desk.end_of(sent).kind == "success"


def test_what_cannot_return_is_written_nowhere(
    scene: Stage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    scene.desk.assign("actor", options={"give": None})
    connection = _replica_connection(scene)
    assert connection.channel().basic_get(QUEUE) is not None
    scene.redis.kill()

    connection.close()

    assert list(folder.iterdir()) == []
    assert "messages.not_returned" in caplog.messages
    assert "token of" not in caplog.text


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    server.close()


def test_a_full_spool_stops_consumption_and_loses_nothing(server: RedisServer):
    server.kill()
    reporter = _reporter(server, capacity=3)
    confirmed: list[int] = []
    blocked = threading.Thread(target=_put, args=(reporter, range(5), confirmed))
    blocked.start()

    blocked.join(0.5)
    waits = blocked.is_alive()
    server.start()
    blocked.join(PATIENCE_SECONDS)

    assert waits
    eventually(lambda: len(confirmed) == 5)
    assert confirmed == [0, 1, 2, 3, 4]
    assert reporter.close(PATIENCE_SECONDS)


def test_a_reporter_that_is_closed_without_a_broker_gives_up_in_time(
    server: RedisServer,
):
    server.kill()
    reporter = _reporter(server, capacity=1)
    confirmed: list[int] = []
    blocked = threading.Thread(target=_put, args=(reporter, range(3), confirmed))
    blocked.start()

    flushed = reporter.close(0.5)
    blocked.join(PATIENCE_SECONDS)

    assert not flushed
    assert not blocked.is_alive()
    assert confirmed == []


def _replica_connection(scene: Stage) -> broker.Connection:
    return broker.Connection(
        scene.redis.url, transport_options={"priority_steps": [0]}, connect_timeout=1
    )


def _waiting(scene: Stage) -> list[str]:
    """Return the ids in the queue of the actor, the next to be taken first."""
    raw = scene.redis.client.lrange(QUEUE, 0, -1)
    assert isinstance(raw, list)
    return [json.loads(message)["headers"]["id"] for message in reversed(raw)]


def _id(assignment: Assignment) -> str:
    return celery_id(assignment.task_id, assignment.attempt)


def _reporter(server: RedisServer, *, capacity: int) -> Reporter:
    queue = names.report_queue(rabbitmq=False)
    connect = partial(Connection, server.url, connect_timeout=1)
    line = Line(
        open_outbox=partial(open_outbox, connect, queue, rabbitmq=False), secret=SECRET
    )
    reporter = Reporter(
        line,
        partial(_identity().alive, Attempts(), Aside(), Skew()),
        heartbeat_seconds=0.2,
        capacity=capacity,
    )
    reporter.start()
    return reporter


def _put(reporter: Reporter, numbers: range, confirmed: list[int]) -> None:
    for number in numbers:
        reporter.put(_report(), partial(confirmed.append, number))


def _report() -> Report:
    attempt = Attempt(uuid4(), 1, "token", "running")
    return _identity().report(attempt, "released")


def _identity() -> Identity:
    analyzer = Analyzer(
        name="length",
        version="1",
        function=lambda _: Analysis(score=-1),
        module=__name__,
    )
    return Identity(replica="length-1@here", analyzer=analyzer, slots=1)
