"""
Flower on real replicas, through its HTTP API.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.embedded.redis import free_port
from tests.fixtures.brokers import Broker
from tests.fixtures.field import Field, Member, eventually

USER, PASSWORD = "operator", "fl0wer-s3cret"

#: As long as the sample says; an analysis of "bad" raises.
WORKER = """
import time
from workers import Analysis, Sample, analyzer

@analyzer("{name}", version="1", run_seconds=60)
def analyse(sample: Sample) -> Analysis:
    content = sample.path.read_bytes()
    if content == b"bad":
        raise ValueError("as asked")
    time.sleep(float(content))
    return Analysis(score=1)
"""

#: Celery counts a worker as offline that sent no heartbeat for so long.
OFFLINE_SECONDS = 15


@pytest.fixture
def field(fresh_database_url: str, broker: Broker, tmp_path: Path) -> Iterator[Field]:
    made = Field(
        fresh_database_url,
        broker.url,
        tmp_path / "field",
        settings={"ASSAY_WORKER_EVENTS": "1"},
    )
    try:
        made.start()
        names = ("flower_yara", "flower_strings")
        made.replicas({name: WORKER.format(name=name) for name in names}, slots=2)
        yield made
    finally:
        made.close()


@pytest.fixture
def flower(field: Field) -> Iterator[httpx.Client]:
    port = free_port()
    field.keeper.add(
        Member(
            name="flower",
            words=["orchestrator", "flower"],
            environment={
                **field.environment,
                "ASSAY_FLOWER_PORT": str(port),
                "ASSAY_FLOWER_USER": USER,
                "ASSAY_FLOWER_PASSWORD": PASSWORD,
                "FLOWER_UNAUTHENTICATED_API": "true",
            },
        )
    )
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}", auth=(USER, PASSWORD), timeout=10
    ) as client:
        eventually(lambda: _answers(client), within=30)
        yield client


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthcheck").status_code == 200
    except httpx.TransportError:
        return False


def _tasks(client: httpx.Client, **filters: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/api/tasks", params=filters).json()
    return found


def _online(client: httpx.Client) -> dict[str, bool]:
    found: dict[str, bool] = client.get("/api/workers?status=true").json()
    return found


@pytest.mark.timeout(180)
def test_operators_see_in_flower_what_replicas_do(field: Field, flower: httpx.Client):
    eventually(lambda: len(_online(flower)) >= 2, within=30)
    field.job(b"0.01")
    field.job(b"bad")
    field.wait_until_done(within=60)

    # A fanned-out task by its worker, one that failed by its state.
    eventually(
        lambda: len(_tasks(flower, taskname="assay.analyze.flower_yara")) == 2,
        within=20,
    )
    of_yara = _tasks(flower, taskname="assay.analyze.flower_yara")
    assert {one["name"] for one in of_yara.values()} == {"assay.analyze.flower_yara"}
    failed = _tasks(flower, state="FAILURE")
    assert len(failed) == 2
    rows = field.rows("SELECT id, attempt FROM job_task WHERE state = 'failed'")
    assert set(failed) == {f"{row.id}.{row.attempt}" for row in rows}

    # A replica in the middle of a long analysis is not offline.
    field.job(str(OFFLINE_SECONDS + 6).encode())
    eventually(lambda: field.count("state = 'executing'") == 2, within=20)
    seen = []
    while field.count("state = 'executing'"):
        seen.append(_online(flower))
    replicas = {row.id for row in field.rows("SELECT id FROM replica")}
    assert replicas <= set(seen[-1])
    assert all(state[name] for state in seen for name in replicas)

    _nobody_else_gets_in(flower)
    _nothing_can_be_done(flower, task_id=next(iter(failed)), replica=min(replicas))
    _no_secret_shows(field, flower)


def _nobody_else_gets_in(flower: httpx.Client) -> None:
    # Its /metrics and /healthcheck are open, as ours are: they name workers, no more.
    for path in ("/", "/api/workers", "/api/tasks", "/tasks", "/broker"):
        for credentials in (None, (USER, "guess"), ("guess", PASSWORD)):
            answer = httpx.get(f"{flower.base_url}{path}", auth=credentials)
            assert answer.status_code == 401, path


def _nothing_can_be_done(flower: httpx.Client, *, task_id: str, replica: str) -> None:
    commands = [
        f"/api/worker/shutdown/{replica}",
        f"/api/worker/pool/restart/{replica}",
        f"/api/worker/queue/cancel-consumer/{replica}?queue=worker.flower_yara",
        f"/api/task/revoke/{task_id}?terminate=true",
        f"/api/task/abort/{task_id}",
        "/api/task/send-task/assay.analyze.flower_yara",
        "/api/task/async-apply/assay.analyze.flower_yara",
    ]
    for path in commands:
        assert flower.post(path, json={"args": []}).status_code == 403, path


def _no_secret_shows(field: Field, flower: httpx.Client) -> None:
    secret = field.environment["ASSAY_SECRET_KEY"].partition(":")[2]
    pages = "".join(
        flower.get(path).text
        for path in (
            "/",
            "/api/workers?refresh=true",
            "/api/tasks",
            "/tasks",
            "/broker",
        )
    )
    logs = (field.folder / "flower.log").read_text()
    command = Path(f"/proc/{field.keeper.pid('flower')}/cmdline").read_text()
    token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    for text in (pages, logs, command):
        for hidden in (secret, PASSWORD, token):
            assert hidden not in text
