"""
Another program's queues under our names: what they stop is said, by whoever meets them
and to everybody who asks, and goes on when they are gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.db.queues import list_foreign
from tests.fixtures.brokers import Broker, RabbitMQHost
from tests.fixtures.field import Field
from tests.fixtures.foreign import mend, spoil, spoil_exchange
from tests.fixtures.ledger import Ledger
from tests.fixtures.rounds import IS_LONG
from tests.fixtures.waiting import eventually

SOURCE = """
from workers import Analysis, Sample, analyzer

@analyzer("{name}", version="1", run_seconds=30)
def look(sample: Sample) -> Analysis:
    return Analysis(score=1)
"""
WORKERS = ("alone", "others")
JOBS = 5


@pytest.fixture(params=["redis_server", "rabbitmq"] if IS_LONG else ["rabbitmq"])
def broker(request: pytest.FixtureRequest) -> Broker:
    """RabbitMQ alone in the check: there queues have arguments."""
    found: Broker = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def field(fresh_database_url: str, broker: Broker, tmp_path: Path) -> Iterator[Field]:
    field = Field(fresh_database_url, broker.url, tmp_path)
    try:
        yield field
    finally:
        field.close()


def ask(field: Field, path: str) -> httpx.Response:
    with httpx.Client(base_url=field.api_url, trust_env=False) as api:
        return api.get(path)


def whats(parts: list[dict[str, Any]]) -> set[str]:
    return {part["what"] for part in parts}


def mend_all(field: Field, broker: Broker) -> set[str]:
    """Do what is said to be done, and return that."""
    with field.database.uow() as tx:
        found = list_foreign(tx)
    for queue in found:
        mend(broker, queue)
    return {queue.remedy for queue in found}


def foreign(field: Field) -> set[str]:
    return {row.name for row in field.rows("SELECT name FROM foreign_queue")}


@pytest.mark.timeout(300)
def test_everybody_is_told_and_work_goes_on_when_they_are_gone(
    field: Field, broker: Broker, ledger: Ledger
):
    spoilt = {"reports", "maintenance"}
    for name in spoilt:
        spoil(broker, name)
    if isinstance(broker, RabbitMQHost):
        # Without it no Celery process has a mailbox.
        spoil_exchange(broker, "celery.pidbox")
        spoilt.add("exchange celery.pidbox")
    field.start()

    eventually(lambda: foreign(field) == spoilt)
    eventually(lambda: bool(field.said("consume-0", "queue.foreign")))
    eventually(lambda: bool(field.said("maintain-0", "queue.foreign")))
    ready = ask(field, "/health/ready")
    assert ready.status_code == 503
    assert {"queue reports", "queue maintenance"} <= whats(
        ready.json()["data"]["missing"]
    )
    assert "assay_foreign_queue{" in ask(field, "/metrics").text

    remedies = mend_all(field, broker)
    ledger.open(field)
    spoil(broker, "worker.alone")
    field.replicas({name: SOURCE.format(name=name) for name in WORKERS}, slots=2)
    for number in range(JOBS):
        field.job(str(number).encode())

    # One worker's trouble is no other's.
    eventually(lambda: field.endings().get("success") == JOBS)
    eventually(lambda: foreign(field) == {"worker.alone"})
    eventually(lambda: ask(field, "/health/ready").status_code == 200)
    troubles = ask(field, "/health/ready").json()["data"]["troubles"]
    assert whats(troubles) == {"queue worker.alone"}

    remedies |= mend_all(field, broker)
    field.wait_until_done()

    ledger.close(field, tasks=JOBS * len(WORKERS))
    eventually(lambda: foreign(field) == set())
    assert {member.starts for member in field.keeper.members.values()} == {1}
    require_quiet(field, remedies)


def require_quiet(field: Field, remedies: set[str]) -> None:
    """One clear line about each thing, from each that meets it, and no traceback."""
    for name in field.keeper.members:
        lines = field.said(name)
        foreign = field.said(name, "queue.foreign")
        about = [line["queue"] for line in foreign]
        assert len(about) == len(set(about)), (name, about)
        assert {line["hint"] for line in foreign} <= remedies
        assert not [line for line in lines if "exception" in line], name
    for name in ("consume-0", "maintain-0", "beat-0"):
        assert "unavailable" not in str(field.said(name)), name
