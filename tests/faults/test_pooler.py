"""
PgBouncer in transaction mode: refused without the setting, and whole with it.
"""

from __future__ import annotations

import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from orchestrator.db.pooler import shares_sessions
from orchestrator.db.unit_of_work import driver_url
from tests.fixtures.brokers import RedisServer
from tests.fixtures.field import Field, bare, kill
from tests.fixtures.ledger import Ledger
from tests.fixtures.nursery import run_assay
from tests.fixtures.pgbouncer import needs_pgbouncer, pgbouncer
from tests.fixtures.waiting import eventually

pytestmark = needs_pgbouncer

SOURCE = """
import time
from workers import Analysis, Sample, analyzer

@analyzer("short", version="1", run_seconds=30)
def look(sample: Sample) -> Analysis:
    time.sleep(0.1)
    return Analysis(score=1)
"""

JOBS = 60


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_assay(*words, environment={**bare(), **environment})


@pytest.mark.parametrize(("command", "code"), [("consume", 2), ("doctor", 1)])
def test_without_the_setting_nothing_starts_and_the_setting_is_named(
    fresh_database_url: str,
    redis_server: RedisServer,
    tmp_path: Path,
    command: str,
    code: int,
):
    with pgbouncer(fresh_database_url) as url:
        ended = run(
            command,
            ASSAY_DATABASE_URL=url,
            ASSAY_BROKER_URL=redis_server.url,
            ASSAY_SECRET_KEY="k:" + "5a" * 32,
            ASSAY_DATA_DIR=str(tmp_path),
        )

    assert ended.returncode == code
    said = ended.stdout + ended.stderr
    assert "pooler" in said
    assert "ASSAY_DATABASE_DIRECT_URL" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("round_robin", [0, 1])
def test_it_is_seen_however_busy_it_is_and_whosever_turn_it_is(
    fresh_database_url: str, round_robin: int
):
    with (
        pgbouncer(fresh_database_url, f"server_round_robin = {round_robin}") as url,
        ThreadPoolExecutor(10) as others,
    ):
        ended = threading.Event()
        busy = [others.submit(_keep_busy, driver_url(url), ended) for _ in range(10)]

        try:
            seen = [shares_sessions(driver_url(url)) for _ in range(10)]
        finally:
            ended.set()
        for client in busy:
            client.result()
    assert seen == [True] * 10
    assert not shares_sessions(driver_url(fresh_database_url))


def _keep_busy(url: str, ended: threading.Event) -> None:
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        while not ended.is_set():
            connection.execute("SELECT 1")


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ((), "set ASSAY_DATABASE_DIRECT_URL"),
        (("pool_mode = statement",), "set ASSAY_DATABASE_DIRECT_URL"),
        (
            ("pool_mode = statement", "ignore_startup_parameters = options"),
            "set its pool_mode to transaction",
        ),
    ],
)
def test_a_command_ends_with_one_line_that_helps(
    fresh_database_url: str, tmp_path: Path, settings: tuple[str, ...], hint: str
):
    with pgbouncer(fresh_database_url, *settings) as url:
        ended = run(
            "key",
            "list",
            ASSAY_DATABASE_URL=url,
            ASSAY_DATA_DIR=str(tmp_path),
        )

    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("assay: the database: a pooler")
    assert line.endswith(hint)


def test_with_it_two_consumers_take_turns_and_nothing_is_lost(
    fresh_database_url: str, redis_server: RedisServer, tmp_path: Path, ledger: Ledger
):
    with pgbouncer(fresh_database_url) as url:
        field = Field(
            url,
            redis_server.url,
            tmp_path / "field",
            settings={"ASSAY_DATABASE_DIRECT_URL": fresh_database_url},
            direct_url=fresh_database_url,
        )
        try:
            field.start({"consume": 2, "dispatch": 2})
            field.replicas({"short": SOURCE}, slots=4)
            ledger.open(field)
            for number in range(JOBS):
                field.job(str(number).encode())
            eventually(lambda: field.count("state = 'success'") > JOBS // 4)

            first = epoch(field)
            kill(pid for name in ("consume-0",) if (pid := field.keeper.pid(name)))
            kill(pid for name in ("dispatch-0",) if (pid := field.keeper.pid(name)))
            field.wait_until_done()

            assert epoch(field) <= first + 1
            ledger.close(field, tasks=JOBS)
        finally:
            field.close()


def epoch(field: Field) -> int:
    (row,) = field.rows("SELECT epoch FROM stream")
    return int(row.epoch)
