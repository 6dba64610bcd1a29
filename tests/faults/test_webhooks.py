"""
Every process is killed while jobs end and webhooks are told; each end is told, and
nothing that did not end.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7

from orchestrator.catalog.samples import Owner, store_sample
from orchestrator.catalog.workers import enrol_worker
from orchestrator.db import webhooks
from orchestrator.db.webhooks import NewWebhook
from orchestrator.domain.values import Actor
from orchestrator.domain.webhooks import Occasion
from orchestrator.flow.order import JobOrder
from orchestrator.flow.submit import create_jobs
from tests.fixtures.brokers import RedisServer
from tests.fixtures.field import Field, kill
from tests.fixtures.receiver import Receiver, receiving
from tests.fixtures.rounds import IS_LONG
from tests.fixtures.waiting import PATIENCE_SECONDS, eventually

JOBS = 10_000 if IS_LONG else 100
#: Of a worker that nobody runs: they do not end.
OPEN = JOBS // 20
SAMPLES = 50
TOGETHER = 100

KINDS = ("api", "dispatch", "consume", "beat", "maintain", "deliver", "replica")
KILLS = 70 if IS_LONG else len(KINDS)
#: Seconds from one kill to the next, at most.
PAUSE = 1.0

WORKERS = {
    "quick": """
from workers import Analysis, Sample, analyzer

@analyzer("quick", version="1", run_seconds=30, reuse_child=True)
def look(sample: Sample) -> Analysis:
    return Analysis(score=1)
"""
}


def order(field: Field, worker: str, number: int) -> set[UUID]:
    """Order so many jobs; return their ids."""
    owner = Owner(user_id=field.user.id, customer_id=field.user.customer_id)
    stored = [
        store_sample(
            field.database,
            field.store,
            iter([f"{worker} {n} {uuid4()}".encode()]),
            limit_bytes=1000,
            owner=owner,
        )
        for n in range(SAMPLES)
    ]
    orders = [
        JobOrder(
            sample_sha256=stored[n % SAMPLES].sha256,
            submitter_id=field.user.id,
            customer_id=field.user.customer_id,
            workers=(worker,),
        )
        for n in range(number)
    ]
    return {
        job_id
        for start in range(0, number, TOGETHER)
        for job_id in _create(field, orders[start : start + TOGETHER])
    }


def _create(field: Field, orders: Sequence[JobOrder]) -> list[UUID]:
    with field.database.uow() as tx:
        made = create_jobs(tx, orders, engine=field.engine)
    return [job.job_id for job in made]  # type: ignore[union-attr]


def listen(field: Field, receiver: Receiver, path: str) -> None:
    """Have a path told of the ends of jobs."""
    new = NewWebhook(
        id=uuid7(),
        customer_id=field.user.customer_id,
        created_by=None,
        url=f"{receiver.url}{path}",
        occasions=(Occasion.JOB_DONE, Occasion.JOB_TIMEOUT),
    )
    with field.database.uow() as tx:
        webhooks.add_webhook(tx, new)


def strike(field: Field, dice: random.Random, kind: str) -> None:
    """Kill one process of a kind."""
    names = [name for name in field.keeper.members if name.startswith(kind)]
    pids = [field.keeper.pid(name) for name in names]
    eventually(lambda: kill([pid for pid in pids if pid][:1]) > 0)
    time.sleep(dice.uniform(0, PAUSE))


def is_over(field: Field, jobs: set[UUID]) -> bool:
    """Whether all these jobs are over."""
    return not field.rows(
        "SELECT 1 FROM job WHERE ended_at IS NULL AND id = ANY(:ids) LIMIT 1",
        ids=list(jobs),
    )


def waiting(field: Field) -> int:
    """Return how much is not delivered, and let none of it wait for its next try."""
    (row,) = field.rows(
        "WITH hurried AS (UPDATE webhook_delivery SET due_at = now()"
        " WHERE due_at > now() AND taken_until IS NULL RETURNING 1),"
        " awake AS (UPDATE webhook SET rest_until = NULL RETURNING 1)"
        " SELECT count(*) AS n FROM webhook_delivery WHERE delivered_at IS NULL"
    )
    return int(row.n)


@pytest.mark.timeout(1_500 if IS_LONG else 420)
def test_each_end_is_told_and_nothing_that_did_not_end(
    fresh_database_url: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    dice = random.Random(seed := random.SystemRandom().randrange(10**6))
    settings = {"ASSAY_WEBHOOK_NETWORKS": "127.0.0.0/8"}
    field = Field(
        fresh_database_url, redis_server.url, tmp_path / "field", settings=settings
    )
    with receiving() as receiver:
        try:
            counts = {"dispatch": 2, "consume": 2, "maintain": 2, "deliver": 2}
            field.start(counts)
            field.replicas({**WORKERS}, slots=4)
            with field.database.uow() as tx:
                enrol_worker(tx, "nobody", keys=field.engine.keys, actor=Actor("test"))
            listen(field, receiver, "/200")
            # Says no now and then, and does not answer what it has taken.
            listen(field, receiver, "/moody")
            field.job(b"warm", workers=("quick",))
            field.wait_until_done()

            ended = order(field, "quick", JOBS)
            never = order(field, "nobody", OPEN)
            for kind in [*KINDS] * (KILLS // len(KINDS)):
                strike(field, dice, kind)
            eventually(lambda: is_over(field, ended), within=3 * PATIENCE_SECONDS)
            eventually(
                lambda: waiting(field) == 0, within=3 * PATIENCE_SECONDS, every=0.5
            )

            told = {
                path: {UUID(each.message["data"]["id"]) for each in receiver.at(path)}
                for path in ("/200", "/moody")
            }
            again = len(receiver.at("/200")) - len(told["/200"])
            print(f"seed {seed}: {again} of {JOBS} told again to /200")  # noqa: T201
            for path, ids in told.items():
                assert ended <= ids, path
                assert never.isdisjoint(ids), path
                states = {each.message["data"]["state"] for each in receiver.at(path)}
                assert states == {"done"}
        finally:
            field.close()
