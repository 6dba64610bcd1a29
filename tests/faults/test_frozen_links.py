"""
Links that freeze while work is under way: their connections stay open, take what is
sent, and say nothing more. New ones work. Nothing is lost by it, and nobody is blamed.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from tests.fixtures.brokers import Broker
from tests.fixtures.field import Field
from tests.fixtures.freezing_proxy import FreezingProxy, freezing_link
from tests.fixtures.ledger import Ledger
from tests.fixtures.rounds import IS_LONG
from tests.fixtures.waiting import eventually

JOBS = 30
SLOTS = 4
WORKERS = ["w0", "w1"]

#: Seconds until every process works on new connections, even when all froze at once,
#: and what a busy machine adds.
_REGAINED_SECONDS = 30 + 15

#: Seconds for each of them to show it: a replica speaks every five.
_LOOK_SECONDS = 15

#: Seconds for every process to end, whatever is frozen. A supervisor kills after ten; a
#: replica first gives its analyses their grace (2 s here), kills them (5 s), and speaks
#: on a new link (7 s), for which a busy machine takes longer.
_END_SECONDS = 9.5
_REPLICA_END_SECONDS = 25.0

#: As long as in production: what waits for a lease must not depend on the link.
_SETTINGS = {
    "ASSAY_LEASE_SECONDS": "15",
    "ASSAY_HEARTBEAT_SECONDS": "5",
    # What Flower is shown goes over a connection of its own.
    "ASSAY_WORKER_EVENTS": "1",
}

SOURCE = """
import pathlib, time
from workers import Analysis, File, Sample, analyzer

@analyzer("{name}", version="1", run_seconds=60)
def look(sample: Sample) -> Analysis:
    time.sleep(0.3)
    pathlib.Path("seen").write_text(sample.sha256)
    return Analysis(score=1, files=[File(kind="evidence", path="seen")])
"""

_TO_THE_BROKER = ("dispatch", "consume", "beat", "maintain", "replica")
_TO_THE_DATABASE = ("api", "dispatch", "consume", "beat", "maintain")


@dataclass
class Engine:
    """``links``: each by its name, ``who>where``."""

    field: Field
    links: Mapping[str, FreezingProxy]

    def submit(self, round_number: int) -> None:
        """Create jobs, and wait until much of them is under way."""
        done = "state = 'success'"
        before = self.field.count(done)
        for number in range(JOBS):
            self.field.job(f"{round_number} {number}".encode())
        eventually(lambda: self.field.count(done) > before)

    def end(self) -> dict[str, float]:
        """Tell every process to end; return how long each took, in seconds."""
        self.field.keeper.let_go()
        members = self.field.keeper.members.values()
        running = {m.name: m.process for m in members if m.process is not None}
        started = time.monotonic()
        for process in running.values():
            process.send_signal(signal.SIGTERM)
        took: dict[str, float] = {}
        while len(took) < len(running):
            assert time.monotonic() < started + 60, f"only {took} ended"
            for name, process in running.items():
                if name not in took and process.poll() is not None:
                    took[name] = time.monotonic() - started
            time.sleep(0.05)
        return took


@pytest.fixture(params=["redis_server", "rabbitmq"] if IS_LONG else ["rabbitmq"])
def broker(request: pytest.FixtureRequest) -> Broker:
    """RabbitMQ alone in the check: of the two it is the one that is waited for."""
    found: Broker = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def engine(fresh_database_url: str, broker: Broker, tmp_path: Path) -> Iterator[Engine]:
    with ExitStack() as stack:
        field = Field(fresh_database_url, broker.url, tmp_path, settings=_SETTINGS)
        stack.callback(field.close)
        links: dict[str, FreezingProxy] = {}
        ways: dict[str, dict[str, str]] = {}

        def lead(who: str, setting: str, url: str, where: str) -> None:
            proxy, through = stack.enter_context(freezing_link(url))
            links[f"{who}>{where}"] = proxy
            ways.setdefault(who, {})[setting] = through

        for who in _TO_THE_BROKER:
            lead(who, "ASSAY_BROKER_URL", broker.url, "broker")
        for who in _TO_THE_DATABASE:
            lead(who, "ASSAY_DATABASE_URL", fresh_database_url, "database")
        lead("replica", "ASSAY_API_URL", field.api_url, "api")
        field.ways = ways
        field.start()
        sources = {name: SOURCE.format(name=name) for name in WORKERS}
        field.replicas(sources, slots=SLOTS)
        yield Engine(field, links)


def require_no_restart(field: Field) -> None:
    members = field.keeper.members.values()
    assert {m.name: m.starts for m in members if m.starts > 1} == {}


def is_alive(field: Field, *, since: datetime) -> bool:
    """Whether everybody has done since then what they do all the time."""
    (row,) = field.rows(_IS_ALIVE, since=since)
    return bool(row.is_alive)


#: A tick's canary went through the broker and a consumer, the dispatcher had its turn
#: and hears of stops, and every replica was heard.
_IS_ALIVE = """
SELECT (SELECT canary_at > :since AND dispatched_at > :since FROM stream)
   AND (SELECT min(seen_at) > :since FROM replica WHERE NOT leaving)
   AND EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
                  AND application_name = 'assay dispatcher'
                  AND query_start > :since) AS is_alive
"""


@pytest.mark.timeout(600)
def test_what_freezes_is_left_for_something_new_and_nothing_is_lost(
    engine: Engine, ledger: Ledger
):
    ledger.open(engine.field)
    names = list(engine.links)
    rounds = [[name] for name in names] if IS_LONG else []
    total = 0
    for number, frozen in enumerate([names, *rounds]):
        engine.submit(number)
        total += JOBS * len(WORKERS)
        for name in frozen:
            engine.links[name].freeze()
        started = time.monotonic()

        engine.field.wait_until_done(within=_REGAINED_SECONDS)
        with engine.field.database.uow() as tx:
            later = tx.now
        left = _REGAINED_SECONDS - (time.monotonic() - started)
        eventually(
            partial(is_alive, engine.field, since=later), within=left + _LOOK_SECONDS
        )
        print(f"{frozen}: {time.monotonic() - started:.1f} s")  # noqa: T201
        ledger.close(engine.field, tasks=total)
        require_no_restart(engine.field)

    engine.submit(len(rounds) + 1)
    for link in engine.links.values():
        link.freeze()
    took = engine.end()
    print({name: round(seconds, 1) for name, seconds in took.items()})  # noqa: T201
    assert max(took.values()) < _REPLICA_END_SECONDS
    others = [name for name in took if not name.startswith("replica")]
    assert max(took[name] for name in others) < _END_SECONDS
