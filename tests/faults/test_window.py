"""
A deep backlog costs the broker a few messages, and what the broker loses comes back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from uuid import UUID

import pytest

from orchestrator.domain.values import Actor
from orchestrator.flow.cancel import cancel_job
from orchestrator.messaging.publisher import Publisher
from orchestrator.messaging.topology import redis_client
from tests.benchmarks.throughput import fill_backlog
from tests.fixtures.brokers import Broker
from tests.fixtures.field import Field
from tests.fixtures.rounds import IS_LONG
from tests.fixtures.stack import DatabaseServer
from tests.fixtures.waiting import eventually

SLOTS = 4

#: A hundred times the window, or far more.
QUEUED = 20_000 if IS_LONG else 4_000

#: Jobs, of which twenty and then all are forgotten.
FORGOTTEN = 300 if IS_LONG else 120

SOURCE = """
import time
from workers import Analysis, Sample, analyzer

@analyzer("{name}", version="1", run_seconds=30)
def look(sample: Sample) -> Analysis:
    time.sleep({seconds})
    return Analysis(score=1)
"""


@pytest.fixture(scope="module")
def broker_url(module_broker: Broker) -> str:
    return module_broker.url


@pytest.fixture(scope="module")
def field(
    database_server: DatabaseServer,
    broker_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Field]:
    """One engine for all tests of this file; each has a worker of its own."""
    url = database_server.url_of(database_server.create())
    field = Field(url, broker_url, tmp_path_factory.mktemp("field"))
    try:
        field.start({"dispatch": 3})
        yield field
    finally:
        field.close()


class Sampler:
    """Looks every 50 ms at how much the broker holds."""

    def __init__(self, broker_url: str) -> None:
        self.deepest = 0
        self.looks = 0
        self._publisher = Publisher(broker_url)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def close(self) -> None:
        self._done.set()
        self._thread.join()
        self._publisher.close()

    def _look(self) -> None:
        while not self._done.wait(0.05):
            depth = self._publisher.queue_depths(["w0"])["w0"]
            self.deepest = max(self.deepest, depth)
            self.looks += 1


@pytest.mark.timeout(240)
def test_a_deep_backlog_costs_the_broker_no_more_than_the_window(
    field: Field, broker_url: str
):
    field.replicas({"w0": SOURCE.format(name="w0", seconds=0.2)}, slots=SLOTS)
    sampler = Sampler(broker_url)
    try:
        fill_backlog(field, "w0", QUEUED)
        eventually(lambda: field.count("state = 'success'") > 50)
        ahead = published(field)
        late = field.job(b"urgent", priority=9, workers=("w0",))
        eventually(lambda: state_of(field, late) == "success")
        started_before = field.rows(
            "SELECT count(*) AS n FROM job_task t, job_task u WHERE u.job_id = :late"
            " AND t.published_at < u.published_at AND t.published_at > u.enqueued_at",
            late=late,
        )[0].n
    finally:
        sampler.close()
        # The rest of the backlog would keep the machine busy beside the other tests.
        pause(field, "w0")

    # Twice the slots, and what ended in the last second: five a second and slot, by
    # a margin of as many again for the moment between counting and looking.
    window = SLOTS * 2 + SLOTS * 5 * 2
    assert sampler.looks > 20
    assert sampler.deepest <= window
    assert ahead <= window
    assert started_before <= window


@pytest.mark.timeout(240)
def test_what_is_cancelled_in_the_backlog_reaches_no_broker(field: Field):
    field.replicas({"w1": SOURCE.format(name="w1", seconds=0.05)}, slots=SLOTS)
    pause(field, "w1")
    jobs = [
        field.job(f"{number}".encode(), workers=("w1",))
        for number in range(500 if IS_LONG else 100)
    ]
    for job in jobs:
        with field.database.uow() as tx:
            cancel_job(tx, job, engine=field.engine, actor=Actor("test"))
    resume(field, "w1")
    last = field.job(b"last", workers=("w1",))

    eventually(lambda: state_of(field, last) == "success")

    assert field.count("state = 'cancelled' AND published_at IS NULL") == len(jobs)
    assert of_worker(field, "w1", "attempt > 1") == 0


@pytest.mark.parametrize("module_broker", ["redis"], indirect=True)
@pytest.mark.timeout(240)
def test_what_redis_forgets_comes_back(field: Field, broker_url: str):
    """Twenty single messages deleted by hand, then everything at once."""
    field.replicas({"w2": SOURCE.format(name="w2", seconds=0.5)}, slots=16)
    # All at once: on a slow machine they would be done as fast as they come.
    pause(field, "w2")
    for number in range(FORGOTTEN):
        field.job(f"{number}".encode(), workers=("w2",))
    resume(field, "w2")
    with closing(redis_client(broker_url)) as client:
        deleted = 0
        deadline = time.monotonic() + 60
        while deleted < 20 and time.monotonic() < deadline:
            deleted += client.lpop("worker.w2") is not None
        assert deleted == 20
        eventually(
            lambda: of_worker(field, "w2", "state = 'success'") > FORGOTTEN // 3,
        )
        client.flushall()

    eventually(
        lambda: of_worker(field, "w2", "state = 'success'") == FORGOTTEN,
        every=0.2,
    )
    assert of_worker(field, "w2") == FORGOTTEN


def pause(field: Field, worker: str) -> None:
    set_paused(field, worker, "now()")


def resume(field: Field, worker: str) -> None:
    set_paused(field, worker, "NULL")
    field.rows("NOTIFY work")


def set_paused(field: Field, worker: str, moment: str) -> None:
    field.rows(
        f"UPDATE worker SET paused_at = {moment} WHERE short_name = :worker",  # noqa: S608
        worker=worker,
    )


def of_worker(field: Field, worker: str, where: str = "true") -> int:
    """Count a worker's tasks: each test has one of its own."""
    own = f"worker_id = (SELECT id FROM worker WHERE short_name = '{worker}')"  # noqa: S608
    return field.count(f"{own} AND ({where})")


def published(field: Field) -> int:
    return field.count(
        "published_at IS NOT NULL AND state IN ('enqueued', 'executing')"
    )


def state_of(field: Field, job: UUID) -> str:
    (row,) = field.rows("SELECT state FROM job_task WHERE job_id = :job", job=job)
    return str(row.state)
