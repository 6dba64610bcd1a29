"""What a replica does when its broker goes away and comes back with nothing in it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from kombu import Connection

from orchestrator.contracts import names
from orchestrator.contracts.report import Report
from tests.fixtures.replica import ACTOR, SECRET, Stage, stage
from tests.fixtures.servers import RedisServer, eventually
from workers import Analysis, Analyzer
from workers.attempts import Attempt, Attempts
from workers.identity import Identity
from workers.reporting import Line, Reporter


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as made:
        yield made


def test_after_a_restart_of_the_broker_it_consumes_and_beats_again(scene: Stage):
    scene.run(ACTOR)
    during = scene.desk.assign("actor", options={"sleep": 3})
    scene.desk.wait_for_state(during, "running")
    beats = len(scene.desk.heartbeats())

    scene.redis.kill()
    scene.redis.start()

    eventually(lambda: len(scene.desk.heartbeats()) > beats, within=15)
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


def test_a_full_spool_stops_consumption_and_loses_nothing(tmp_path: Path):
    server = RedisServer(tmp_path)
    server.kill()
    reporter = _reporter(server, capacity=3)
    confirmed: list[int] = []
    blocked = threading.Thread(target=_put, args=(reporter, range(5), confirmed))
    blocked.start()

    blocked.join(0.5)
    waits = blocked.is_alive()
    server.start()
    blocked.join(15)

    assert waits
    eventually(lambda: len(confirmed) == 5)
    assert confirmed == [0, 1, 2, 3, 4]
    assert reporter.close(5)
    server.close()


def test_a_reporter_that_is_closed_without_a_broker_gives_up_in_time(tmp_path: Path):
    server = RedisServer(tmp_path)
    server.kill()
    reporter = _reporter(server, capacity=1)
    confirmed: list[int] = []
    blocked = threading.Thread(target=_put, args=(reporter, range(3), confirmed))
    blocked.start()

    flushed = reporter.close(0.5)
    blocked.join(5)

    assert not flushed
    assert not blocked.is_alive()
    assert confirmed == []


def _reporter(server: RedisServer, *, capacity: int) -> Reporter:
    line = Line(
        connect=lambda: Connection(server.url, connect_timeout=1),
        queue=names.report_queue(rabbitmq=False),
        one_by_one=False,
        secret=SECRET,
    )
    reporter = Reporter(
        line,
        partial(_identity().alive, Attempts()),
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
