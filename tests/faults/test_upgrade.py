"""
What operators do to a running service: keys change, stores lose bytes, versions differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.contracts.assignment import Assignment
from orchestrator.contracts.signature import body_signature
from orchestrator.contracts.token import StoredClaim
from orchestrator.flow.order import JobOrder
from orchestrator.flow.submit import create_job
from orchestrator.messaging.codec import RawMessage
from tests.fixtures.brokers import RedisServer
from tests.fixtures.engine import KEYS, Rig
from tests.fixtures.field import Field
from tests.fixtures.waiting import eventually

GOLDEN = Path(__file__).parents[1] / "contracts" / "messages" / "golden"

#: Runs until the test writes the file that the sample names.
PATIENT = """
import time
from workers import Analysis, Sample, analyzer

@analyzer("patient", version="1", run_seconds=60)
def patient(sample: Sample) -> Analysis:
    time.sleep(float(sample.path.read_bytes().split()[0]))
    return Analysis(score=5)
"""

_NEW = "new:" + "1b" * 32


@pytest.fixture
def field(
    fresh_database_url: str, redis_server: RedisServer, tmp_path: Path
) -> Iterator[Field]:
    field = Field(fresh_database_url, redis_server.url, tmp_path / "field")
    try:
        field.start()
        field.replicas({"patient": PATIENT}, slots=4)
        yield field
    finally:
        field.close()


def _restart_engine(field: Field, keys: str) -> None:
    for name, member in field.keeper.members.items():
        if not name.startswith("replica-"):
            member.environment = {**member.environment, "ASSAY_SECRET_KEY": keys}
            assert member.process is not None
            # The keeper starts it again, with the new environment.
            member.process.terminate()
            member.process.wait(15)


@pytest.mark.timeout(180)
def test_keys_are_rotated_while_tasks_run(field: Field):
    field.job(b"6 with the old key")
    eventually(lambda: field.count("state = 'executing'") == 1)

    # As the manual says: the new key signs, the old one still verifies.
    old = field.environment["ASSAY_SECRET_KEY"]
    _restart_engine(field, f"{_NEW},{old}")
    field.job(b"0.1 with the new key")
    field.wait_until_done()

    assert field.endings() == {"success": 2}
    assert field.rows("SELECT sum(losses) AS n FROM job_task")[0].n == 0
    assert field.rows("SELECT count(*) AS n FROM rejected_report")[0].n == 0


@pytest.mark.timeout(180)
def test_a_sample_whose_bytes_are_gone_fails_with_that_reason(field: Field):
    lost = b"0.1 lost"
    field.job(lost)
    field.wait_until_done()
    (row,) = field.rows("SELECT sha256 FROM sample")
    field.store.delete(row.sha256)

    job_id = field.job(b"0.1 kept")
    again = field.rows("SELECT submitter_id, customer_id FROM job LIMIT 1")[0]
    _order_again(field, row.sha256, again)
    field.wait_until_done()

    (task,) = field.rows("SELECT * FROM job_task WHERE state = 'failed'")
    assert (task.reason, task.attempt) == ("sample_missing", 1)
    assert task.job_id != job_id
    # It counts with what the worker said before, as every failed task does.
    (verdict,) = field.rows(
        "SELECT score, coverage_percent FROM verdict WHERE job_id = :id", id=task.job_id
    )
    assert (verdict.score, verdict.coverage_percent) == (5, 100)


def _order_again(field: Field, sha256: str, owner: Any) -> None:
    order = JobOrder(
        sample_sha256=sha256,
        submitter_id=owner.submitter_id,
        customer_id=owner.customer_id,
    )
    with field.database.uow() as tx:
        create_job(tx, order, engine=field.engine)


def _golden(name: str) -> dict[str, Any]:
    message: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text())
    return message


@pytest.fixture
def of_yesterday(rig: Rig) -> Rig:
    """An engine whose one worker speaks as the golden messages do."""
    alive = _golden("alive-v1")
    rig.worker(alive["worker"])
    return rig


def _signed(rig: Rig, message: dict[str, Any]) -> RawMessage:
    body = json.dumps(message).encode()
    signature = body_signature(rig.secrets[message["worker"]], body)
    return RawMessage(body=body, headers={"signature": signature}, problem=None)


def _report(rig: Rig, name: str, task: Any, **fields: Any) -> RawMessage:
    golden = _golden(name)
    token = KEYS.attempt_token(task.id, task.attempt, task.worker)
    own = {"task_id": str(task.id), "attempt": task.attempt, "token": token}
    named = {"worker": task.worker, "replica": f"{task.worker}-1@host"}
    message = {**golden, **own, **named, **fields}
    for reference in (message.get("analysis") or {}).get("references", ()):
        stored = StoredClaim(
            task_id=task.id,
            attempt=task.attempt,
            kind=reference["kind"],
            sha256=reference["sha256"],
            size=reference["size"],
        )
        reference["receipt"] = KEYS.receipt(stored)
    return _signed(rig, message)


def test_replicas_of_the_message_version_before_go_on_working(of_yesterday: Rig):
    rig, worker = of_yesterday, _golden("alive-v1")["worker"]
    alive = {**_golden("alive-v1"), "replica": f"{worker}-9@host", "holds": []}
    job_id = rig.job()
    rig.dispatch()
    task = rig.task(job_id, worker)

    heard = rig.ingest(_signed(rig, alive))
    rig.ingest(_report(rig, "report-v1-success", task))

    assert heard.rejected == 0
    assert rig.execute("SELECT 1 FROM replica WHERE id = :id", id=alive["replica"])
    assert rig.task(job_id, worker).state == "success"
    assert rig.job_state(job_id) == "done"
    assert rig.rejected() == []


def test_what_tomorrow_adds_is_tolerated(of_yesterday: Rig):
    rig, worker = of_yesterday, _golden("alive-v1")["worker"]
    job_id = rig.job()
    rig.dispatch()
    task = rig.task(job_id, worker)

    rig.ingest(_report(rig, "report-v1-success", task, of_tomorrow={"a": 1}))

    assert rig.task(job_id, worker).state == "success"


def test_a_version_that_nobody_knows_is_refused_and_blocks_nobody(of_yesterday: Rig):
    rig, worker = of_yesterday, _golden("alive-v1")["worker"]
    job_id = rig.job()
    rig.dispatch()
    task = rig.task(job_id, worker)

    rig.ingest(
        _report(rig, "report-v1-success", task, version=99),
        _report(rig, "report-v1-failed", task),
    )

    assert len(rig.rejected()) == 1
    assert "version" in rig.rejected()[0]
    # The one behind it was applied: a loss, and another attempt.
    assert rig.task(job_id, worker).losses == 1


def test_todays_replica_reads_yesterdays_assignment():
    message = _golden("assignment-v1")

    read = Assignment.model_validate_json(json.dumps({**message, "of_tomorrow": 1}))

    assert str(read.task_id) == message["task_id"]
