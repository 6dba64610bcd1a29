"""
The client commands, as typed, against the real API.

Nothing dispatches or analyses here; the tests move tasks over HTTP themselves.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import re
import secrets
import signal
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import create_engine, text

from orchestrator.domain.values import Role
from orchestrator.messaging.topology import redis_client
from tests.fixtures.api import API, SAMPLE_MAX_BYTES
from tests.fixtures.brokers import RedisServer
from tests.fixtures.commands import Assay, everything_of, new_file, succeed
from tests.fixtures.waiting import eventually


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

    assert {
        submitted["sha256"]: submitted["file"] for submitted in document["jobs"]
    } == known
    assert document["errors"] == []
    for submitted in document["jobs"]:
        (job,) = jobs_of(api, submitted["sha256"])
        assert (job["id"], job["priority"]) == (submitted["job"], -3)
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
    assert [job["file"] for job in document["jobs"]] == ["b-good.bin"]
    (refused,) = document["errors"]
    assert refused["file"].endswith("a-large.bin")
    assert "ASSAY_SAMPLE_MAX_BYTES" in refused["error"]


def test_a_name_that_is_not_text_is_submitted_all_the_same(
    api: API, assay: Assay, folder: Path
):
    (folder / "caf\udce9.bin").write_bytes(secrets.token_bytes(20))

    document = assay.json("submit", folder, "--worker", api.add_worker())

    assert [job["file"] for job in document["jobs"]] == [
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


def test_ids_are_said_as_soon_as_they_are_known(api: API, assay: Assay, folder: Path):
    _, sha256 = new_file(folder, "sub.bin")

    done = assay("submit", folder, "--worker", api.add_worker())

    (job,) = jobs_of(api, sha256)
    assert done.stdout.splitlines() == [f"{job['id']}  sub.bin"]
    assert done.returncode == 0


def test_what_is_waited_for_is_said_and_a_timeout_is_no_end(
    api: API, assay: Assay, folder: Path
):
    path, _ = new_file(folder, "sample.bin")
    worker = api.add_worker()

    done = assay("submit", path, "--worker", worker, "--timeout", 4)

    job = done.stdout.split()[0]
    assert done.returncode == 1
    assert f"{worker}: no replica alive, ends in" in done.stderr
    assert f"assay job watch {job}" in done.stderr
    assert api.admin.get(f"/job/{job}").json()["data"]["state"] == "enqueued"


def test_ctrl_c_says_how_to_go_on_watching(api: API, assay: Assay, folder: Path):
    path, sha256 = new_file(folder, "sample.bin")
    words = ("submit", path, "--wait", "--worker", api.add_worker())
    with assay.running(*words) as waiting:
        assert waiting.stdout is not None
        line = waiting.stdout.readline()
        waiting.send_signal(signal.SIGINT)
        _, error = waiting.communicate(timeout=30)

    (job,) = jobs_of(api, sha256)
    assert line.split()[0] == job["id"]
    assert waiting.returncode == 130
    assert f"assay job watch {job['id']}" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("score", "fail_on", "code"),
    [(80, "malicious", 3), (80, "suspicious", 3), (40, "malicious", 0)],
)
def test_a_verdict_may_be_too_bad(
    api: API, assay: Assay, folder: Path, score: int, fail_on: str, code: int
):
    path, sha256 = new_file(folder, "sample.bin")
    words = ("submit", path, "--fail-on", fail_on, "--worker", api.add_worker())
    with assay.running(*words) as waiting:
        eventually(lambda: jobs_of(api, sha256))
        succeed(api, jobs_of(api, sha256)[0], score=score)
        _, error = waiting.communicate(timeout=30)

    assert waiting.returncode == code, error


def test_what_is_said_of_a_sample_goes_with_it(api: API, assay: Assay, folder: Path):
    path, sha256 = new_file(folder, "sample.bin")
    worker = api.add_worker()
    words = (
        *("submit", path, "--worker", worker, "--file-name", "bill.pdf"),
        *("--tlp", "green", "--metadata", "case=4711", "--customer", "default"),
        *("--option", "depth=3", "--option", f"{worker}.mode=deep"),
    )

    assay.json(*words)

    (job,) = jobs_of(api, sha256)
    (task,) = api.tasks(job["id"])
    said = api.admin.get(f"/sample/{sha256}/submission").json()["data"]
    (submission,) = [each for each in said if each["job"] == job["id"]]
    assert job["fileName"] == submission["fileName"] == "bill.pdf"
    assert task["options"] == {"depth": 3, "mode": "deep"}
    assert (submission["tlp"], submission["metaData"]) == ("green", {"case": "4711"})


def test_standard_input_is_a_sample(api: API, assay: Assay):
    content = secrets.token_bytes(1000)
    words = ("submit", "-", "--worker", api.add_worker(), "--file-name", "piped.bin")

    done = subprocess.run(
        assay.command(*words),
        input=content,
        env=assay.env,
        capture_output=True,
        check=False,
        timeout=60,
    )

    (job,) = jobs_of(api, hashlib.sha256(content).hexdigest())
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().split() == [job["id"], "-"]
    assert job["fileName"] == "piped.bin"


def test_what_cannot_be_sent_is_said_first_and_counts(
    api: API, assay: Assay, folder: Path
):
    new_file(folder, "good.bin")

    done = assay("submit", folder / "none", folder, "--worker", api.add_worker())

    assert done.returncode == 1
    assert "none: no such file or directory" in done.stderr
    assert done.stdout.split()[1] == "good.bin"


def test_a_part_of_an_id_is_enough_wherever_one_is_asked_for(api: API, assay: Assay):
    content = secrets.token_bytes(40)
    worker = api.add_worker()
    job = api.add_job(api.upload(content), workers=[worker])
    end = job["id"][-8:]
    (task,) = api.tasks(job["id"])

    for wanted in (end, end.upper(), end[-6:], job["id"]):
        assert assay.json("job", "show", wanted)["id"] == job["id"]
    assert assay.json("job", "explain", end)["workers"]
    for words in (
        (f"{end}/{worker}",),
        (end, worker),
        (task["id"],),
        (end, task["id"]),
    ):
        assert assay.json("task", "show", *words)["id"] == task["id"]
    md5 = hashlib.md5(content).hexdigest()  # noqa: S324
    sha256 = hashlib.sha256(content).hexdigest()
    for wanted in (md5, sha256[:9], sha256[-9:], sha256):
        assert assay("verdict", "show", wanted).stdout == "no verdict yet\n"
    cancelled = assay.json("job", "cancel", end)
    assert (cancelled["id"], cancelled["state"]) == (job["id"], "done")


def test_a_file_named_like_a_hash_is_not_the_sample_that_has_it(api: API, assay: Assay):
    sha256 = api.upload(content := secrets.token_bytes(40))
    md5 = hashlib.md5(content).hexdigest()  # noqa: S324
    worker = api.add_worker()
    for name in (f"{md5}.unpacked", f"{sha256[:12]}.unpacked", "facade.exe"):
        api.add_job(api.upload(), workers=[worker], fileName=name)

    for wanted in (md5, sha256[:12]):
        assert assay.json("sample", "show", wanted)["sha256"] == sha256
    named = assay("sample", "show", "facade")
    assert named.returncode == 1
    assert "no sample begins or ends with 'facade'" in named.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("job", "show", "a" * 300), "no job begins or ends with"),
        (("job", "show", "abc"), "give its id, or six digits or more"),
        (("job", "show", "not-hex-at-all"), "give its id, or six digits or more"),
        (("task", "list", "../worker"), "give its id, or six digits or more"),
        (("job", "cancel", "0123456789ab"), "no job begins or ends with"),
        (("verdict", "show", "0123456789ab"), "no sample begins or ends with"),
        (("task", "show", "nonsense"), "give JOB/WORKER, as latest/yara"),
    ],
)
def test_what_nothing_is_meant_by_is_said_in_words(
    assay: Assay, words: tuple[str, ...], said: str
):
    done = assay(*words)

    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_job_without_that_worker_says_which_it_has(api: API, assay: Assay):
    workers = sorted([api.add_worker(), api.add_worker()])
    job = api.add_job(workers=workers)

    done = assay("task", "show", f"{job['id']}/yara")

    assert f"this job has {', '.join(workers)}; it has no 'yara'" in done.stderr


def test_a_part_that_several_have_names_them(api: API, assay: Assay):
    jobs = [api.add_job(fileName=f"{n}.bin") for n in range(2)]
    # Of ids that grow with time, those of a few hours begin alike.
    assert jobs[0]["id"][:6] == jobs[1]["id"][:6]

    done = assay("job", "show", jobs[0]["id"][:6])

    assert done.returncode == 1
    assert "may be" in done.stderr
    assert "give more of it" in done.stderr


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

    assert job["id"] in [row["id"] for row in listed]
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


def test_watching_a_job_with_a_failed_task_ends_with_1(api: API, assay: Assay):
    job = api.add_job()
    (task,) = api.tasks(job["id"])
    api.admin.put(f"/job/{job['id']}/task/{task['id']}", json={"state": "failed"})

    done = assay("job", "watch", job["id"])

    assert (done.returncode, done.stderr) == (1, f"done: {task['worker']} failed\n")


def test_several_jobs_are_watched_together_and_the_newest_has_a_name(
    api: API, assay: Assay
):
    first, second = api.add_job(), api.add_job()
    workers = {job["id"]: succeed(api, job, score=0) for job in (first, second)}

    done = assay("job", "watch", first["id"], "latest", "--json")

    assert done.returncode == 0, done.stderr
    assert sorted(done.stderr.splitlines()) == sorted(
        f"{job} done: {worker} success" for job, worker in workers.items()
    )
    jobs = json.loads(done.stdout)["jobs"]
    assert [job["id"] for job in jobs] == [first["id"], second["id"]]
    assert [job["tasks"][0]["state"] for job in jobs] == ["success", "success"]
    assert assay.json("job", "show", "latest")["id"] == second["id"]


def test_on_a_terminal_each_workers_states_are_shown_as_they_change(
    api: API, assay: Assay
):
    jobs = [api.add_job(), api.add_job()]
    ours, theirs = os.openpty()
    words = assay.command("job", "watch", *(job["id"] for job in jobs))
    with subprocess.Popen(
        words, env={**assay.env, "TERM": "xterm"}, stdout=theirs, stderr=theirs
    ) as watching:
        os.close(theirs)
        workers = [succeed(api, job, score=0) for job in jobs]
        seen = everything_of(ours)

    assert watching.returncode == 0, seen
    assert "2 of 2 jobs are over" in seen
    assert all(worker in seen for worker in workers)


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

    assert [retried["state"] for retried in api.tasks(job["id"])] == ["enqueued"]


def test_explain_says_of_each_worker_why(api: API, assay: Assay):
    chosen, other = api.add_worker(), api.add_worker()
    job = api.add_job(workers=[chosen])

    rows = {
        row["worker"]: row for row in assay.json("job", "explain", job["id"])["workers"]
    }

    assert rows[chosen]["selected"]
    assert not rows[other]["selected"]
    assert rows[other]["reason"]
    told = assay("job", "explain", job["id"]).stdout
    assert chosen in told
    assert "taken for unknown (unknown, application/octet-stream), by rules" in told


def test_a_task_is_shown_by_its_workers_name_with_its_history(api: API, assay: Assay):
    job = api.add_job()
    (task,) = api.tasks(job["id"])
    api.admin.put(f"/job/{job['id']}/cancel")

    listed = assay.json("task", "list", job["id"])
    by_name = assay.json("task", "show", job["id"], task["worker"])
    text = assay("task", "show", job["id"], task["id"]).stdout

    assert [row["id"] for row in listed] == [task["id"]]
    assert by_name["id"] == task["id"]
    assert [event["kind"] for event in by_name["events"]] == ["cancelled"]
    assert "cancelled" in text
    assert "test-administrator" in text


def test_a_task_is_shown_by_its_id_alone_with_all_that_happened(api: API, assay: Assay):
    job = api.add_job()
    (task,) = api.tasks(job["id"])
    path = f"/job/{job['id']}/task/{task['id']}"
    api.admin.put(path, json={"state": "failed", "message": "out of luck"})
    api.admin.put(f"/job/{job['id']}/retry", json={})

    document = assay.json("task", "show", task["id"])
    text = assay("task", "show", task["id"]).stdout

    assert (document["id"], document["job"]) == (task["id"], job["id"])
    history = text.split("\n\n")[1].splitlines()
    told = ("enqueued", "published and run", "failed", "retried", "queued")
    assert all(what in line for what, line in zip(told, history[1:], strict=True)), (
        history
    )
    assert "not known" in history[2]
    assert text.splitlines()[-1] == "  out of luck"
    assert "user test-administrator" in history[4]


def test_who_did_what_is_listed_and_filtered(api: API, assay: Assay):
    name = api.add_worker()
    assay("worker", "pause", name)

    words = ("audit", "--on", name, "--since", "1h")
    document = assay.json(*words, "--action", "worker.pause")
    text = assay(*words).stdout

    (row,) = document
    assert (row["actor"], row["source"]) == ("user test-administrator", "127.0.0.1")
    assert [line.split()[5] for line in text.splitlines()[1:]] == [
        "worker.pause",
        "worker.register",
    ]
    assert assay.json(*words, "--actor", "somebody-else") == []
    assert "action" in assay("audit", "--action", "worker.paus").stderr


def test_what_is_done_at_the_console_is_its_accounts(
    api: API, assay: Assay, api_database_url: str
):
    account = pwd.getpwuid(os.getuid()).pw_name
    server = {"ASSAY_DATABASE_URL": api_database_url, "USER": "somebody-else"}
    user = f"u{secrets.token_hex(4)}"

    key = json.loads(assay("key", "create", user, "--json", **server).stdout)
    for _ in range(2):
        revoked = assay("key", "revoke", key["prefix"], "--json", **server)
        assert json.loads(revoked.stdout) == {"revoked": key["prefix"]}

    rows = assay.json("audit", "--on", key["prefix"])
    assert [row["action"] for row in rows] == ["key.revoke", "key.create"]
    assert {(row["actor"], row["source"]) for row in rows} == {
        (f"console {account}", None)
    }
    assert key["key"] not in str(rows)


def test_the_database_is_brought_up_to_date_and_its_account_written_down(
    assay: Assay, empty_database_url: str
):
    server = {"ASSAY_DATABASE_URL": empty_database_url}

    before = assay("db", "check", "--json", **server)
    upgraded = assay("db", "upgrade", "--json", **server)
    after = assay("db", "check", "--json", **server)

    newest = json.loads(upgraded.stdout)["revision"]
    assert (before.returncode, after.returncode) == (1, 0)
    assert json.loads(before.stdout) == {"revision": None, "needed": newest}
    assert json.loads(after.stdout) == {"revision": newest, "needed": newest}
    engine = create_engine(empty_database_url)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT actor, action FROM audit")).all()
    engine.dispose()
    account = pwd.getpwuid(os.getuid()).pw_name
    assert rows == [(f"console {account}", "database.upgrade")]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql+psycopg://x@127.0.0.1:1/none", "Connection refused; see that"),
        ("nonsense", "ASSAY_DATABASE_URL cannot be read"),
    ],
)
@pytest.mark.parametrize("command", ["db upgrade", "db check", "key list"])
def test_without_a_database_a_command_says_one_line(
    assay: Assay, url: str, words: str, command: str
):
    ended = assay(
        *command.split(),
        ASSAY_DATABASE_URL=url,
        ASSAY_BROKER_URL="redis://127.0.0.1:1",
        ASSAY_SECRET_KEY="k:" + "5a" * 32,
    )

    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert words in line


def test_an_empty_database_is_said_to_want_its_tables(
    assay: Assay, empty_database_url: str
):
    ended = assay("key", "list", ASSAY_DATABASE_URL=empty_database_url)

    assert ended.returncode == 1
    assert "assay db upgrade" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_poison_is_listed_and_cleared(api: API, assay: Assay):
    sha256, worker = api.upload(), api.add_worker()
    api.run(
        "INSERT INTO poison (sample_sha256, worker_id, version, deaths, first_at,"
        " last_at, poisoned_at) SELECT :sample, id, '1', 3, now(), now(), now()"
        " FROM worker WHERE short_name = :worker",
        sample=sha256,
        worker=worker,
    )

    listed = assay("poison", "list").stdout
    cleared = assay("poison", "clear", sha256, worker)
    again = assay("poison", "clear", sha256, worker, "--json")
    unknown = assay("poison", "clear", sha256, api.add_worker())

    (line,) = [line.split() for line in listed.splitlines() if line.startswith(sha256)]
    assert line[1:4] == [worker, "1", "3"]
    assert "job retry" in cleared.stdout
    assert json.loads(again.stdout) == {"cleared": 0}
    assert unknown.returncode == 1
    assert "(404 Not Found)" in unknown.stderr


def test_a_worker_is_listed_paused_and_resumed(api: API, assay: Assay):
    name = api.add_worker()

    assert name in [worker["shortName"] for worker in assay.json("worker", "list")]
    assert assay.json("worker", "pause", name)["pausedTimestamp"]
    (line,) = [
        line.split()
        for line in assay("worker", "list").stdout.splitlines()
        if line.startswith(f"{name} ")
    ]
    assert line[1] == "paused"
    assert assay.json("worker", "resume", name)["pausedTimestamp"] is None
    assert "nobody home" in assay("worker", "show", name).stdout


def test_a_worker_is_enrolled_and_its_credentials_are_shown_once(
    api: API, assay: Assay, api_database_url: str, redis_server: RedisServer
):
    name = f"w{secrets.token_hex(4)}"
    server = {
        "ASSAY_DATABASE_URL": api_database_url,
        "ASSAY_BROKER_URL": redis_server.url,
        "ASSAY_SECRET_KEY": "test:" + "ab" * 32,
    }

    first = assay("worker", "register", name, **server)
    second = assay("worker", "register", name, "--json", **server)

    told = dict(line.split("=", 1) for line in first.stdout.splitlines())
    assert set(told) == {"ASSAY_WORKER_SECRET", "ASSAY_BROKER_URL"}
    assert f"assay worker run MODULE, the one that holds {name}" in first.stderr
    renewed = json.loads(second.stdout)
    assert renewed["secret"] not in first.stdout
    assert renewed["brokerKnows"] is True
    with closing(redis_client(renewed["brokerUrl"])) as client:
        assert client.ping()
    with (
        closing(redis_client(told["ASSAY_BROKER_URL"])) as client,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        client.ping()
    assert api.admin.get(f"/worker/{name}").status_code == 200

    lines = assay("broker", "policy", **server).stdout.splitlines()
    assert any(re.match(rf"user worker\.\w{{8}}\.{name} on #", line) for line in lines)
    assert assay("broker", "policy", "--apply", **server).stdout == ""


def test_a_broker_that_is_away_is_told_later(
    assay: Assay, api_database_url: str, api: API
):
    done = assay(
        *("worker", "register", f"w{secrets.token_hex(4)}"),
        ASSAY_DATABASE_URL=api_database_url,
        ASSAY_BROKER_URL="redis://:hunter2@127.0.0.1:1/0",
        ASSAY_SECRET_KEY="test:" + "ab" * 32,
    )

    assert done.returncode == 0
    assert "ASSAY_BROKER_URL=redis://worker." in done.stdout
    assert "assay broker policy --apply" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def test_enrolling_needs_the_database_and_says_so(assay: Assay):
    done = assay("worker", "register", "somebody")

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("assay: ASSAY_")


def test_a_sample_is_shown_with_its_names_and_who_says_what_it_is(
    api: API, assay: Assay
):
    sha256 = api.upload(b"#!/bin/sh\necho " + secrets.token_bytes(8).hex().encode())
    worker = api.add_worker()
    for name in ("first.sh", "second\x1b.sh"):
        api.add_job(sha256, workers=[worker], fileName=name)

    document = assay.json("sample", "show", sha256)
    text = assay("sample", "show", sha256).stdout

    assert document["sha256"] == sha256
    assert set(document["fileNames"]) == {"first.sh", "second\x1b.sh"}
    assert document["latestClassification"]["metaData"]["decidedBy"] == "rules"
    assert "script (script, text/x-shellscript), by rules, 100 % sure" in text
    assert document["sha512"] in text
    assert "first.sh" in text
    assert "\x1b" not in text


def test_a_verdict_is_shown_with_each_contribution(api: API, assay: Assay):
    job = api.add_job()
    sha256 = job["analysedSample"]["id"]
    before = assay("verdict", "show", sha256)
    worker = succeed(api, job, score=45)

    document = assay.json("verdict", "show", sha256)
    text = assay("verdict", "show", sha256).stdout

    assert before.stdout == "no verdict yet\n"
    assert (document["status"], document["score"]) == ("suspicious", 45)
    assert [share["worker"] for share in document["contributions"]] == [worker]
    (line,) = [line.split() for line in text.splitlines() if line.startswith(worker)]
    assert line == [worker, "own", "-", "45", "1.0", "100", "%"]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("job", "show", "0199a1f4-0000-7000-8000-000000000000"), "404"),
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
    assert f"({status} " in json.loads(done.stderr)["error"]["message"]


@pytest.mark.parametrize(
    "words",
    [
        ("submit", ""),
        ("demo", ""),
        ("job", "cancel", ""),
        ("worker", "show", ".."),
        ("policy", "explain", __file__, "--meta", "=value"),
        ("key", "create", "somebody", "--days", "99999999"),
        ("key", "create", ""),
        ("key", "create", "u\udcff"),
        ("customer", "add", "short", "--name", "x\udcff"),
    ],
)
def test_a_word_that_means_nothing_is_said_to(
    assay: Assay, api_database_url: str, words: tuple[str, ...]
):
    done = assay(*words, ASSAY_DATABASE_URL=api_database_url)

    assert done.returncode in {1, 2}
    assert done.stdout == ""
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_a_key_without_the_right_or_no_key_at_all_is_one_line(api: API, assay: Assay):
    worker = api.add_worker()
    viewer = assay("worker", "pause", worker, ASSAY_API_KEY=api.key(Role.VIEWER))
    nobody = assay("worker", "list", ASSAY_API_KEY="wrong")

    assert "(403 Forbidden)" in viewer.stderr
    assert "(401 Unauthorized)" in nobody.stderr
    assert "ASSAY_API_KEY" in nobody.stderr
    assert (viewer.returncode, nobody.returncode) == (1, 1)
