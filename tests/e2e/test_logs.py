"""
What ``docker-compose.yml`` starts, started, each with the environment it has there; and
what all of it writes when it works, fails, is attacked and is stopped.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from orchestrator.client.http import Client
from orchestrator.contracts.token import KeyRing
from orchestrator.contracts.wire import TOKEN_HEADER
from tests.fixtures.containers import Composed, composed
from tests.fixtures.embedded import order
from tests.fixtures.waiting import eventually

#: Ids of what a line is about; those of a task name all three.
IDS = ("job", "task", "attempt")


class Run:
    """One run of everything, over: what was written, and what must not be."""

    def __init__(
        self,
        stack: Composed,
        *,
        canary: str,
        hidden: Sequence[str],
        tasks: Sequence[dict[str, Any]],
    ) -> None:
        self.tasks = tasks
        self.starts = {member.starts for member in stack.keeper.members.values()}
        self.texts = {path.stem: path.read_text() for path in stack.logs.glob("*.log")}
        self.canary = canary
        self.hidden = hidden

    def lines(self) -> list[dict[str, Any]]:
        written = "".join(self.texts.values())
        return [json.loads(line) for line in written.splitlines()]

    def named(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if line["event"] == event]


@pytest.fixture(scope="module")
def run(
    database_server: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("logs")
    name = database_server.create()
    canary = f"canary-{secrets.token_hex(12)}"
    sample = folder / "sample.txt"
    sample.write_text(f"{canary} http://{canary}.example/")
    lost = folder / "lost.txt"
    lost.write_text(f"{canary} is lost")
    with composed(folder, database_url=database_server.url_of(name)) as stack:
        stack.start("worker-strings", "worker-yara")
        tasks, hidden = _live(stack, sample, lost)
    yield Run(stack, canary=canary, hidden=hidden, tasks=tasks)
    database_server.drop(name)


def _is_done(client: Client, path: str) -> bool:
    return bool(client.get(path)["state"] == "done")


def _live(
    stack: Composed, sample: Path, lost: Path
) -> tuple[list[dict[str, Any]], list[str]]:
    """Do what leaves traces; return the tasks, and every secret that was in play."""
    with stack.client() as client:
        key = client._http.headers["Argus-API-Key"]
        sha256 = client.upload(lost)
        for stored in stack.folder.rglob(sha256):
            stored.unlink()
        given = {"sampleSha256": sha256, "workers": ["strings"]}
        jobs = [order(client, sample), client.post("/job", given)]
        paths = [f"/job/{job['id']}" for job in jobs]
        for path in paths:
            eventually(partial(_is_done, client, path))
        tasks: list[dict[str, Any]] = [
            task for path in paths for task in client.get(f"{path}/tasks")
        ]
    password = (stack.secrets / "flower_password").read_text()
    workers = f"{stack.flower_url}/api/workers"
    for user, status in (("admin", 200), ("guest", 401)):
        assert httpx.get(workers, auth=(user, password)).status_code == status
    forged = secrets.token_hex(16)
    _attack(stack, str(tasks[0]["id"]), token=forged)
    keys = KeyRing.parse((stack.secrets / "secret_key").read_text().strip())
    tokens = [
        keys.attempt_token(task["id"], 1, worker)
        for task in tasks
        for worker in ("strings", "yara")
    ]
    return tasks, [key, forged, *tokens, *_passwords(stack)]


def _attack(stack: Composed, task: str, *, token: str) -> None:
    """Knock with wrong keys and passwords, and report what nobody may."""
    url = f"{stack.api_url}/internal/task/{task}/1/sample"
    assert httpx.get(url, headers={TOKEN_HEADER: token}).status_code in {401, 403}
    url = f"{stack.api_url}/sampledb/v2/job"
    assert httpx.get(url, headers={"Argus-API-Key": token}).status_code == 401
    assert httpx.get(f"{stack.flower_url}/", auth=("admin", token)).status_code == 401
    body = {"type": "report", "version": 1, "task_id": task, "attempt": 7}
    envelope = {
        "body": json.dumps({**body, "replica": "nobody@host", "token": token}),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {},
        "properties": {"body_encoding": "utf-8"},
    }
    broker = (stack.secrets / "broker_url").read_text()
    found = re.fullmatch(r"redis\+socket://:(.+)@(.+)\?virtual_host=0", broker)
    assert found is not None
    with redis.Redis(unix_socket_path=found[2], password=found[1]) as client:
        client.lpush("reports", json.dumps(envelope), b"garbage")
    log = stack.logs / "consume.log"
    eventually(lambda: log.read_text().count("report.rejected") >= 2)


def _passwords(stack: Composed) -> list[str]:
    """Return every secret that stands in a file, and those within URLs."""
    found = []
    for path in stack.secrets.iterdir():
        text = path.read_text().strip()
        found += [text, *re.findall(r"//[^/@]*:([^@/]+)@", text)]
        found += re.findall(r"[0-9a-f]{64}", text)
    return [secret for secret in found if secret]


def test_what_a_service_is_told_is_all_that_it_needs(run: Run):
    assert [task["state"] for task in run.tasks] == ["success", "success", "failed"]
    assert run.starts == {1}


def test_every_line_is_one_json_object_with_who_when_and_how_bad(run: Run):
    for name, text in run.texts.items():
        for line in text.splitlines():
            said = json.loads(line)
            assert {"event", "level", "timestamp", "process"} <= set(said), (name, line)


def test_no_library_gives_advice(run: Run):
    """Celery's to whoever runs it as root, as containers and tests often do."""
    assert [line for line in run.lines() if "Warning: " in line["event"]] == []


def test_every_process_says_something_at_all(run: Run):
    processes = {line["process"] for line in run.lines()}

    # Maintenance need not: nothing was late.
    assert {"dispatcher", "consumer", "flower", "replica"} <= processes


def test_lines_about_tasks_say_which_job_task_and_attempt(run: Run):
    dispatched, ended = run.named("task.dispatched"), run.named("attempt.ended")

    # Of those that worked a replica says nothing.
    assert (len(dispatched), len(ended)) == (3, 1)
    for line in (*dispatched, *ended):
        assert all(line.get(name) for name in IDS), line
    assert ended[0]["task"] in {line["task"] for line in dispatched}
    assert ended[0]["job"] in {line["job"] for line in dispatched}


def test_every_line_of_a_replica_says_which_it_is(run: Run):
    of_replicas = [line for line in run.lines() if line["process"] == "replica"]

    assert {line["replica"].partition("-")[0] for line in of_replicas} == {
        "strings",
        "yara",
    }


def test_a_refused_report_is_logged_with_the_attempt_that_it_names(run: Run):
    (named,) = [line for line in run.named("report.rejected") if "attempt" in line]

    assert named["attempt"] == 7
    assert named["replica"] == "nobody@host"
    assert named["task"] in {line["task"] for line in run.named("task.dispatched")}


def test_no_secret_and_no_content_is_in_any_log(run: Run):
    found = [
        (name, hidden)
        for name, text in run.texts.items()
        for hidden in (run.canary, *run.hidden)
        if hidden in text
    ]

    assert len(run.hidden) > 12
    assert found == []
