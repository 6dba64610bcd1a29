"""
The client commands, as typed, against the real API.

Nothing dispatches or analyses here; the tests move tasks over HTTP themselves.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.values import Role
from tests.fixtures.api import API, SAMPLE_MAX_BYTES
from tests.fixtures.brokers import eventually


class Assay:
    """The command, with the settings of one API and nothing else."""

    def __init__(self, api: API, folder: Path) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ASSAY_")}
        self.env = {
            **kept,
            "ASSAY_DATA_DIR": str(folder / "nothing"),
            "ASSAY_API_URL": api.url,
            "ASSAY_API_KEY": api.key(Role.ADMINISTRATOR),
        }

    def __call__(
        self, *words: object, **extra: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            env={**self.env, **extra},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    @contextmanager
    def running(self, *words: object) -> Iterator[subprocess.Popen[str]]:
        """Start the command; it is killed if the test leaves it running."""
        pipe = subprocess.PIPE
        command = self.command(*words)
        with subprocess.Popen(
            command, env=self.env, stdout=pipe, stderr=pipe, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def json(self, *words: object) -> Any:
        done = self(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def command(self, *words: object) -> list[str]:
        return [sys.executable, "-m", "orchestrator", *map(str, words)]


@pytest.fixture
def assay(api: API, tmp_path: Path) -> Assay:
    return Assay(api, tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "samples"
    made.mkdir()
    return made


def new_file(folder: Path, name: str) -> tuple[Path, str]:
    content = secrets.token_bytes(100)
    (folder / name).write_bytes(content)
    return folder / name, hashlib.sha256(content).hexdigest()


def succeed(api: API, job: dict[str, Any], *, score: int) -> str:
    """End the job's only task with an analysis; return the worker's name."""
    (task,) = api.tasks(job["id"])
    sha256 = job["analysedSample"]["id"]
    form = {
        "customer": "default",
        "userAgent": {"name": task["worker"], "version": "1"},
        "tlp": "clear",
        "analysisResult": {},
        "analysisScore": score,
    }
    made = api.admin.post(f"/sample/{sha256}/analysis", json=form)
    assert made.status_code == 200, made.text
    ended = api.admin.put(
        f"/job/{job['id']}/task/{task['id']}",
        json={"state": "success", "analyses": [made.json()["data"]["analysisID"]]},
    )
    assert ended.status_code == 200, ended.text
    return str(task["worker"])


def jobs_of(api: API, sha256: str) -> list[dict[str, Any]]:
    answer = api.admin.post("/job/search", json={"sampleSha256": sha256})
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def test_submit_uploads_a_folder_and_orders_a_job_for_each_file(
    api: API, assay: Assay, folder: Path
):
    worker = api.add_worker()
    known = {new_file(folder, name)[1]: name for name in ("a.bin", "[b] é.bin")}

    document = assay.json("submit", folder, "--priority", -3, "--worker", worker)

    assert {one["sha256"]: one["file"] for one in document["jobs"]} == known
    assert document["errors"] == []
    for one in document["jobs"]:
        (job,) = jobs_of(api, one["sha256"])
        assert (job["id"], job["priority"]) == (one["job"], -3)
        assert [task["worker"] for task in api.tasks(job["id"])] == [worker]


def test_a_file_that_is_refused_is_named_and_stops_no_other(
    api: API, assay: Assay, folder: Path
):
    worker = api.add_worker()
    with (folder / "a-large.bin").open("wb") as file:
        file.truncate(SAMPLE_MAX_BYTES + 1)
    new_file(folder, "b-good.bin")

    done = assay("submit", folder, "--worker", worker, "--json")

    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert [one["file"] for one in document["jobs"]] == ["b-good.bin"]
    (refused,) = document["errors"]
    assert refused["file"].endswith("a-large.bin")
    assert "ASSAY_SAMPLE_MAX_BYTES" in refused["error"]
    assert "413" in refused["error"]


def test_a_name_that_is_not_text_is_submitted_all_the_same(
    api: API, assay: Assay, folder: Path
):
    (folder / "caf\udce9.bin").write_bytes(secrets.token_bytes(20))

    document = assay.json("submit", folder, "--worker", api.add_worker())

    assert [one["file"] for one in document["jobs"]] == [
        "caf\N{REPLACEMENT CHARACTER}.bin"
    ]


def test_submit_waits_for_the_verdict(api: API, assay: Assay, folder: Path):
    path, sha256 = new_file(folder, "sample.bin")
    words = ("submit", path, "--wait", "--json", "--worker", api.add_worker())
    with assay.running(*words) as waiting:
        eventually(lambda: jobs_of(api, sha256))
        succeed(api, jobs_of(api, sha256)[0], score=80)
        out, error = waiting.communicate(timeout=30)

    (row,) = json.loads(out)["jobs"]
    assert waiting.returncode == 0, error
    assert (row["state"], row["verdict"], row["score"]) == ("done", "malicious", 80)


def test_piped_tables_are_plain_and_a_row_is_a_line(api: API, assay: Assay):
    job = api.add_job(fileName="[/red] long name " + "x" * 200)

    done = assay("job", "list", "--limit", 1000)

    (line,) = [line for line in done.stdout.splitlines() if job["id"] in line]
    assert f"[/red] long name {'x' * 200}" in line
    assert "\x1b" not in done.stdout


def test_a_job_is_listed_by_state_and_shown_with_its_tasks(api: API, assay: Assay):
    job = api.add_job(fileName="shown.bin")

    listed = assay.json("job", "list", "--state", "enqueued", "--limit", 1000)
    found = assay.json("job", "show", job["id"])
    text = assay("job", "show", job["id"]).stdout

    assert job["id"] in [one["id"] for one in listed]
    (task,) = found["tasks"]
    assert found["id"] == job["id"]
    assert all(word in text for word in (job["id"], "shown.bin", task["worker"]))


def test_watching_ends_with_the_job_and_tells_each_change(api: API, assay: Assay):
    job = api.add_job()
    with assay.running("job", "watch", job["id"]) as watching:
        assert watching.stderr is not None
        first = watching.stderr.readline()
        worker = succeed(api, job, score=0)
        _, rest = watching.communicate(timeout=30)

    assert first == f"enqueued: {worker} enqueued\n"
    assert rest.splitlines()[-1] == f"done: {worker} success"
    assert watching.returncode == 0


def test_a_job_is_cancelled_and_a_cancelled_one_has_nothing_to_retry(
    api: API, assay: Assay
):
    job = api.add_job()

    assert assay.json("job", "cancel", job["id"])["state"] == "done"
    assert [task["state"] for task in api.tasks(job["id"])] == ["cancelled"]
    refused = assay("job", "retry", job["id"])
    assert refused.returncode == 1
    assert "412" in refused.stderr


def test_a_failed_task_is_retried(api: API, assay: Assay):
    job = api.add_job()
    (task,) = api.tasks(job["id"])
    api.admin.put(f"/job/{job['id']}/task/{task['id']}", json={"state": "failed"})

    assay.json("job", "retry", job["id"])

    assert [one["state"] for one in api.tasks(job["id"])] == ["enqueued"]


def test_explain_says_of_each_worker_why(api: API, assay: Assay):
    chosen, other = api.add_worker(), api.add_worker()
    job = api.add_job(workers=[chosen])

    rows = {
        one["worker"]: one for one in assay.json("job", "explain", job["id"])["workers"]
    }

    assert rows[chosen]["selected"]
    assert not rows[other]["selected"]
    assert rows[other]["reason"]
    assert chosen in assay("job", "explain", job["id"]).stdout


def test_a_task_is_shown_by_its_workers_name_with_its_history(api: API, assay: Assay):
    job = api.add_job()
    (task,) = api.tasks(job["id"])
    api.admin.put(f"/job/{job['id']}/cancel")

    listed = assay.json("task", "list", job["id"])
    by_name = assay.json("task", "show", job["id"], task["worker"])
    text = assay("task", "show", job["id"], task["id"]).stdout

    assert [one["id"] for one in listed] == [task["id"]]
    assert by_name["id"] == task["id"]
    assert [event["kind"] for event in by_name["events"]] == ["cancelled"]
    assert "cancelled" in text
    assert "test-administrator" in text


def test_a_worker_is_listed_paused_and_resumed(api: API, assay: Assay):
    name = api.add_worker()

    assert name in [one["shortName"] for one in assay.json("worker", "list")]
    assert assay.json("worker", "pause", name)["pausedTimestamp"]
    (line,) = [
        line.split()
        for line in assay("worker", "list").stdout.splitlines()
        if line.startswith(f"{name} ")
    ]
    assert line[1] == "paused"
    assert assay.json("worker", "resume", name)["pausedTimestamp"] is None
    assert "nobody home" in assay("worker", "show", name).stdout


def test_a_worker_is_enrolled_on_the_database_and_its_secret_shown_once(
    api: API, assay: Assay, api_database_url: str
):
    name = f"w{secrets.token_hex(4)}"
    server = {
        "ASSAY_DATABASE_URL": api_database_url,
        "ASSAY_SECRET_KEY": "test:" + "ab" * 32,
    }

    first = assay("worker", "register", name, **server)
    second = assay("worker", "register", name, "--json", **server)

    assert first.stdout.startswith("ASSAY_WORKER_SECRET=")
    assert f"assay worker run {name}" in first.stderr
    secret = json.loads(second.stdout)["secret"]
    assert secret
    assert secret not in first.stdout
    assert api.admin.get(f"/worker/{name}").status_code == 200


def test_enrolling_needs_the_database_and_says_so(assay: Assay):
    done = assay("worker", "register", "somebody")

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("assay: ASSAY_")


def test_a_verdict_is_shown_with_each_contribution(api: API, assay: Assay):
    job = api.add_job()
    sha256 = job["analysedSample"]["id"]
    before = assay("verdict", "show", sha256)
    worker = succeed(api, job, score=45)

    document = assay.json("verdict", "show", sha256)
    text = assay("verdict", "show", sha256).stdout

    assert before.stdout == "no verdict yet\n"
    assert (document["status"], document["score"]) == ("suspicious", 45)
    assert [one["worker"] for one in document["contributions"]] == [worker]
    (line,) = [line.split() for line in text.splitlines() if line.startswith(worker)]
    assert line == [worker, "own", "-", "45", "1.0", "100", "%"]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("job", "show", "0199a1f4-0000-7000-8000-000000000000"), "404"),
        (("job", "show", "no-id"), "412"),
        (("task", "list", "../worker"), "404"),
        (("worker", "show", "nobody-has-this-name"), "404"),
        (("verdict", "show", "ab" * 32), "404"),
        (("job", "list", "--state", "lost"), "412"),
    ],
)
def test_what_the_api_refuses_is_one_line(
    assay: Assay, words: tuple[str, ...], status: str
):
    done = assay(*words, "--json")

    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert f"({status} " in done.stderr


def test_a_key_without_the_right_or_no_key_at_all_is_one_line(api: API, assay: Assay):
    worker = api.add_worker()
    viewer = assay("worker", "pause", worker, ASSAY_API_KEY=api.key(Role.VIEWER))
    nobody = assay("worker", "list", ASSAY_API_KEY="wrong")

    assert "(403 Forbidden)" in viewer.stderr
    assert "(401 Unauthorized)" in nobody.stderr
    assert "ASSAY_API_KEY" in nobody.stderr
    assert (viewer.returncode, nobody.returncode) == (1, 1)
