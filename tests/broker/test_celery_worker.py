"""
What the orchestrator sends, seen by a Celery worker that knows nothing of Assay.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from celery import Celery

from orchestrator.contracts.assignment import AssignedSample, Assignment, Where
from orchestrator.contracts.signature import stop_signature
from orchestrator.messaging.control import Stopper
from orchestrator.messaging.publisher import Outgoing, Publisher
from orchestrator.messaging.task_message import task_body, task_headers, task_properties
from tests.fixtures.brokers import Broker, start_child, start_process
from tests.fixtures.waiting import eventually

JOB, TASK = UUID(int=1), UUID(int=2)
SHA256 = "a" * 64

ASSIGNMENT = Assignment(
    job_id=JOB,
    task_id=TASK,
    attempt=3,
    worker="echo",
    sample=AssignedSample(
        sha256=SHA256,
        size=1,
        file_name="invoice.exe",
        where=Where(kind="http", value="/internal"),
    ),
    timeout_seconds=10,
)
OUTGOING = Outgoing(
    worker="echo",
    job_id=JOB,
    task_id=TASK,
    attempt=3,
    sample_sha256=SHA256,
    token="the-secret-token",
    body=ASSIGNMENT.model_dump_json(),
    secrets=("old", "new"),
)
HEADERS = task_headers(OUTGOING, task_body(OUTGOING))


class Node:
    def __init__(self, output: Path) -> None:
        self.output = output

    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.read_text().splitlines()]

    def document(self) -> dict[str, Any]:
        """Wait for the first thing it writes."""
        eventually(lambda: self.output.read_text().endswith("\n"))
        return self.documents()[0]


@pytest.fixture
def node(broker: Broker, tmp_path: Path) -> Iterator[Node]:
    output, log = tmp_path / "output", tmp_path / "log"
    output.touch()
    with log.open("w") as log_file:
        process = start_child(
            "celery",
            *("-A", "tests.broker.celery_node", "worker", "--pool=solo", "-E"),
            *("-n", "echo-1@here", "-Q", "worker.echo", "--loglevel=info"),
            *("--without-mingle", "--without-gossip"),
            stdout=log_file,
            stderr=log_file,
            env={
                **os.environ,
                "TEST_BROKER": broker.url,
                "TEST_OUTPUT": str(output),
            },
        )
    eventually(lambda: "echo-1@here ready" in log.read_text())
    yield Node(output)
    process.kill()
    process.wait()


def test_a_plain_celery_worker_runs_an_assignment(broker: Broker, node: Node):
    with closing(Publisher(broker.url)) as publisher:
        result = publisher.publish([OUTGOING])

    assert result.error is None
    assert node.document() == {
        "id": f"{TASK}.3",
        "token": "the-secret-token",
        "assignment": ASSIGNMENT.model_dump(mode="json"),
    }


def test_a_stop_reaches_the_replica_it_names(broker: Broker, node: Node):
    with closing(Stopper(broker.url)) as stopper:
        stopper.stop("somebody-else@here", [(JOB, 1)], secrets=["s"])
        stopper.stop("echo-1@here", [(TASK, 3), (TASK, 4)], secrets=["s"])

    attempts = [f"{TASK}.3", f"{TASK}.4"]
    assert node.document() == {
        "stopped": attempts,
        "by": "echo-1@here",
        "signature": stop_signature("s", replica="echo-1@here", attempts=attempts),
    }


def test_flower_sees_the_name_and_the_ids_of_an_assignment(broker: Broker, node: Node):
    """Flower shows what the worker's events say, so the event is what counts."""
    received: list[dict[str, Any]] = []
    app = Celery(broker=broker.url, set_as_current=False)
    with app.connection() as connection, closing(Publisher(broker.url)) as publisher:
        receiver = app.events.Receiver(
            connection, handlers={"task-received": received.append}
        )
        with receiver.consumer_context() as (own_connection, _, _):

            def seen() -> bool:
                # Again each time: on Redis kombu subscribes only when it first drains,
                # and an event that nobody listens to is gone.
                publisher.publish([OUTGOING])
                with contextlib.suppress(TimeoutError):
                    own_connection.drain_events(timeout=0.2)
                return bool(received)

            eventually(seen)

    event = received[0]
    assert event["name"] == "assay.analyze.echo"
    assert event["uuid"] == f"{TASK}.3"
    assert str(JOB) in event["kwargs"]
    assert "the-secret-token" not in repr(event)


#: Maintenance that does nothing, so that it needs no database.
_MAINTENANCE = """
import sys
from orchestrator.celery_app import run_maintenance
from orchestrator.config import Settings

def tick():
    pass

run_maintenance(Settings(broker_url=sys.argv[1]), tick)
"""


def test_two_maintenance_processes_are_told_apart_and_name_their_machine(
    broker: Broker,
):
    command = [sys.executable, "-c", _MAINTENANCE, broker.url]
    processes = [start_process(command) for _ in range(2)]
    app = Celery(broker=broker.url, set_as_current=False)
    found: set[str] = set()

    def both_answer() -> bool:
        with app.connection() as connection:
            answers = app.control.ping(timeout=0.5, connection=connection)
        found.update(name for answer in answers for name in answer)
        return len(found) == 2

    try:
        eventually(both_answer)
    finally:
        for process in processes:
            process.kill()
            process.wait()

    for name in found:
        assert re.fullmatch(r"maintenance-[0-9a-f]{8}@.+", name), name
        assert name.partition("@")[2] == socket.gethostname()


def test_an_assignment_is_the_message_that_celery_itself_would_build():
    app = Celery(set_as_current=False)
    celerys = app.amqp.as_task_v2(
        f"{TASK}.3",
        "assay.analyze.echo",
        kwargs={"assignment": json.loads(OUTGOING.body)},
        argsrepr="()",
        kwargsrepr=HEADERS["kwargsrepr"],
        ignore_result=True,
    )

    headers = dict(HEADERS)
    assert headers.pop("assay-token") == "the-secret-token"
    # One for each key that the orchestrator has.
    assert len(str(headers.pop("signature")).split(",")) == 2
    assert headers == celerys.headers
    assert task_properties(OUTGOING) == celerys.properties
    assert json.loads(task_body(OUTGOING)) == json.loads(json.dumps(celerys.body))


def test_flower_shows_the_ids_and_neither_the_token_nor_the_file_name():
    shown = HEADERS["kwargsrepr"]

    assert shown == repr({"job_id": str(JOB), "task_id": str(TASK), "sample": SHA256})
