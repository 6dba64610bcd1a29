"""
Flower on real replicas, through its HTTP API.
"""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery.events.state import HEARTBEAT_EXPIRE_WINDOW
from flower.api.control import ControlHandler
from flower.urls import handlers
from tornado.routing import URLSpec
from tornado.web import RequestHandler

from orchestrator.contracts.node.commands import REFUSED
from orchestrator.embedded.ports import free_port
from tests.fixtures.brokers import Broker, RedisServer, start_child
from tests.fixtures.field import Field, Member, bare
from tests.fixtures.stack import DatabaseServer
from tests.fixtures.waiting import eventually

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

#: Celery's workers send a heartbeat each two seconds, and count as offline when none
#: came for so much longer.
OFFLINE_SECONDS = 2 * HEARTBEAT_EXPIRE_WINDOW // 100


@pytest.fixture(scope="module")
def field(
    database_server: DatabaseServer,
    module_broker: Broker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Field]:
    """One engine for all tests of this file, on each broker."""
    field = Field(
        database_server.url_of(database_server.create()),
        module_broker.url,
        tmp_path_factory.mktemp("field"),
        settings={"ASSAY_WORKER_EVENTS": "1"},
    )
    try:
        field.start()
        names = ("flower_yara", "flower_strings")
        field.replicas({name: WORKER.format(name=name) for name in names}, slots=2)
        yield field
    finally:
        field.close()


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
        eventually(lambda: _answers(client))
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
    eventually(lambda: len(_online(flower)) >= 2)
    field.job(b"0.01")
    field.job(b"bad")
    field.wait_until_done()

    # A fanned-out task by its worker, one that failed by its state.
    eventually(
        lambda: len(_tasks(flower, taskname="assay.analyze.flower_yara")) == 2,
    )
    of_yara = _tasks(flower, taskname="assay.analyze.flower_yara")
    assert {task["name"] for task in of_yara.values()} == {"assay.analyze.flower_yara"}
    failed = _tasks(flower, state="FAILURE")
    assert len(failed) == 2
    rows = field.rows("SELECT id, attempt FROM job_task WHERE state = 'failed'")
    assert set(failed) == {f"{row.id}.{row.attempt}" for row in rows}

    # A replica in the middle of a long analysis is not offline.
    field.job(str(OFFLINE_SECONDS + 6).encode())
    eventually(lambda: field.count("state = 'executing'") == 2)
    seen = []
    while field.count("state = 'executing'"):
        seen.append(_online(flower))
    replicas = {row.id for row in field.rows("SELECT id FROM replica")}
    assert replicas <= set(seen[-1])
    assert all(state[name] for state in seen for name in replicas)

    # Ticks of maintenance would soon be all that it remembers.
    names = {task["name"] for task in _tasks(flower).values()}
    assert names == {"assay.analyze.flower_yara", "assay.analyze.flower_strings"}

    _nobody_else_gets_in(flower)
    _no_browser_guesses(flower)
    _nothing_can_be_done(flower)
    _no_secret_shows(field, flower)


@pytest.mark.timeout(180)
def test_its_buttons_say_that_they_were_refused(
    field: Field, module_broker: Broker, tmp_path: Path
):
    """``revoke`` and ``shutdown`` too, to whose answers Flower does not listen."""
    (replica, *_) = [row.id for row in field.rows("SELECT id FROM replica")]
    form = {"n": "1", "min": "1", "max": "2", "queue": "stolen", "terminate": "true"}
    form |= {"ratelimit": "1/h", "hard": "1", "soft": "1", "workername": replica}
    with _alone(module_broker, tmp_path, "--allow-control") as client:
        eventually(lambda: replica in client.get("/api/workers?refresh=true").json())
        paths = _control_paths(replica)
        answers = {path: client.post(path, data=form) for path in paths}

    # All that this Flower has, and not fewer than today's.
    assert len(paths) >= 10
    for path, answer in answers.items():
        assert (answer.status_code, answer.text) == (403, REFUSED), path
    assert field.keeper.members["replica-flower_yara"].starts == 1


def _control_paths(replica: str) -> list[str]:
    rules = [rule if isinstance(rule, URLSpec) else URLSpec(*rule) for rule in handlers]
    return [
        re.sub(r"\([^)]*\)", replica, spec.regex.pattern.rstrip("$"))
        for spec in rules
        if issubclass(spec.handler_class, ControlHandler)
        and spec.handler_class.post is not RequestHandler.post
    ]


def test_a_port_that_somebody_has_is_named(broker: Broker, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = _run(broker, tmp_path, ASSAY_FLOWER_PORT=str(taken.getsockname()[1]))

    assert done.returncode == 2
    assert done.stderr.startswith("assay: ASSAY_FLOWER_PORT: 127.0.0.1:")


@pytest.mark.parametrize(
    "setting",
    [
        {"ASSAY_FLOWER_USER": ""},
        {"ASSAY_FLOWER_PASSWORD": ""},
        {"ASSAY_FLOWER_USER": "a:b"},
        {"ASSAY_FLOWER_PASSWORD": "pässword"},
    ],
)
def test_it_does_not_start_where_nobody_or_everybody_would_get_in(
    setting: dict[str, str], redis_server: RedisServer, tmp_path: Path
):
    done = _run(redis_server, tmp_path, **setting)

    assert done.returncode == 2
    assert next(iter(setting)) in done.stderr
    assert done.stderr.count("\n") == 1


def _told(broker: Broker, folder: Path, **changes: str) -> dict[str, str]:
    return {
        **bare(),
        "ASSAY_DATA_DIR": str(folder / "nothing"),
        "ASSAY_BROKER_URL": broker.url,
        "ASSAY_FLOWER_PORT": "0",
        "ASSAY_FLOWER_USER": USER,
        "ASSAY_FLOWER_PASSWORD": PASSWORD,
        **changes,
    }


def _run(
    broker: Broker, folder: Path, **changes: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", "flower"],
        env=_told(broker, folder, **changes),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@contextlib.contextmanager
def _alone(broker: Broker, folder: Path, *words: str) -> Iterator[httpx.Client]:
    """Run Flower without anything to look at."""
    port = free_port()
    process = start_child(
        "orchestrator",
        "flower",
        *words,
        env=_told(broker, folder, ASSAY_FLOWER_PORT=str(port)),
    )
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", auth=(USER, PASSWORD), timeout=10
        ) as client:
            eventually(lambda: _answers(client))
            yield client
    finally:
        process.terminate()
        process.wait(10)


def _nobody_else_gets_in(flower: httpx.Client) -> None:
    # Its /metrics and /healthcheck are open, as ours are: they name workers, no more.
    for path in ("/", "/api/workers", "/api/tasks", "/tasks", "/broker"):
        for credentials in (None, (USER, "guess"), ("guess", PASSWORD)):
            answer = httpx.get(f"{flower.base_url}{path}", auth=credentials)
            assert answer.status_code == 401, path
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


def _no_browser_guesses(flower: httpx.Client) -> None:
    pages = ("/", "/api/tasks", "/metrics", "/healthcheck", "/nowhere")
    for path in (*pages, "/static/css/flower.css", "/static/nothing"):
        answer = flower.get(path)
        assert answer.headers["X-Content-Type-Options"] == "nosniff", path


def _nothing_can_be_done(flower: httpx.Client) -> None:
    """By any handler that takes a POST, of this Flower or of the next."""
    paths = [
        re.sub(r"\([^)]*\)", "somebody", spec.regex.pattern.rstrip("$"))
        for spec in (
            rule if isinstance(rule, URLSpec) else URLSpec(*rule) for rule in handlers
        )
        if spec.handler_class.post is not RequestHandler.post
    ]
    # The first only reads, a table with too many columns for a GET; the other is what
    # answers for paths that do not exist.
    commands = set(paths) - {"/tasks/datatable", ".*"}
    assert len(commands) >= 14
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
