"""
The broker goes and comes back empty, the database restarts; nothing is lost by it, and
nobody is blamed for it.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from orchestrator.db.migrate import upgrade
from orchestrator.embedded.postgres import RunningPostgres, start_postgres
from tests.fixtures.brokers import Broker
from tests.fixtures.field import Field
from tests.fixtures.ledger import Ledger
from tests.fixtures.rabbitmq_node import rabbitmq_node
from tests.fixtures.rounds import IS_LONG
from tests.fixtures.waiting import eventually

__all__ = ["rabbitmq_node"]

JOBS = 60
SLOTS = 8
ROUNDS = 3 if IS_LONG else 1

#: How long the broker is away: the outage itself, not a wait for anything.
_OUTAGE_SECONDS = 10
WORKERS = [f"w{n}" for n in range(4 if IS_LONG else 2)]

#: Tasks at the broker or in a replica that are many: all slots, and half as many.
MANY = SLOTS * len(WORKERS) * 3 // 2

SOURCE = """
import time
from workers import Analysis, Sample, analyzer

@analyzer("{name}", version="1", run_seconds=30)
def look(sample: Sample) -> Analysis:
    time.sleep(0.5)
    return Analysis(score=1)
"""


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[RunningPostgres]:
    """One of its own, as durable as in production, to be killed."""
    server = start_postgres(tmp_path / "postgres", superuser=True)
    upgrade(server.url)
    yield server
    server.remove()


class MortalBroker(Broker, Protocol):
    """One that only this test uses, and that comes back empty."""

    def stop(self) -> None: ...

    def start(self) -> None: ...


@pytest.fixture(
    params=["redis_server", "rabbitmq_node"] if IS_LONG else ["redis_server"]
)
def mortal_broker(request: pytest.FixtureRequest) -> MortalBroker:
    found: MortalBroker = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def field(
    postgres: RunningPostgres, mortal_broker: MortalBroker, tmp_path: Path
) -> Iterator[Field]:
    field = Field(postgres.url, mortal_broker.url, tmp_path / "field")
    try:
        field.start()
        sources = {name: SOURCE.format(name=name) for name in WORKERS}
        field.replicas(sources, slots=SLOTS)
        yield field
    finally:
        field.close()


def submit(field: Field, round_number: int) -> None:
    """Create jobs, and wait until much is under way."""
    # Dispatched only when all are there: a slow machine makes them as it ends them.
    field.rows("UPDATE worker SET paused_at = now() RETURNING id")
    for number in range(JOBS):
        field.job(f"{round_number} {number}".encode())
    field.rows("UPDATE worker SET paused_at = NULL RETURNING id")
    busy = "published_at IS NOT NULL AND state IN ('enqueued', 'executing')"
    eventually(lambda: field.count(busy) >= MANY)
    eventually(lambda: field.count("state = 'success'") > 0)


def check_logs(field: Field) -> None:
    """What is away is said in few lines, and where in the code it was met in none."""
    for path in field.folder.glob("*.log"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line for line in lines if "exception" in line] == []
        trouble = [line for line in lines if line["level"] != "info"]
        assert "Traceback" not in "".join(line["event"] for line in trouble)
        # However long each lasts: for every cause a line at first.
        causes = Counter((line["event"], line.get("error")) for line in trouble)
        repeated = Counter(
            (line["event"], line.get("error")) for line in trouble if "times" in line
        )
        at_first = causes - repeated
        assert max(at_first.values(), default=0) <= 3 * ROUNDS, trouble


@pytest.mark.timeout(400)
def test_a_broker_that_comes_back_empty_and_a_database_that_restarts_lose_nothing(
    field: Field,
    mortal_broker: MortalBroker,
    postgres: RunningPostgres,
    ledger: Ledger,
):
    ledger.open(field)
    # Away for long, and for no longer than it takes to start again.
    for number, seconds in enumerate([_OUTAGE_SECONDS, 0] * ROUNDS):
        submit(field, number)
        mortal_broker.stop()
        time.sleep(seconds)
        mortal_broker.start()

        field.wait_until_done()
    ledger.close(field, tasks=2 * ROUNDS * JOBS * len(WORKERS))

    for number in range(2 * ROUNDS, 3 * ROUNDS):
        submit(field, number)
        postgres.kill()
        postgres.start()

        field.wait_until_done()
    ledger.close(field, tasks=3 * ROUNDS * JOBS * len(WORKERS))
    check_logs(field)
