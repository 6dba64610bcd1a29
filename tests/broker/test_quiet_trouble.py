"""
Processes whose database or broker is not as it must be: they say so, and no more.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.db import migrate
from tests.fixtures.field import bare
from tests.fixtures.nursery import Forked
from tests.fixtures.servers import RedisServer
from tests.fixtures.waiting import eventually

#: After its first complaint: long enough for some more tries.
_SECONDS = 2

_AWAY = "redis://127.0.0.1:1/0"


def start(
    command: str, said: Path, folder: Path, database_url: str, broker_url: str
) -> Forked:
    return Forked(
        *("orchestrator", command),
        environment={
            **bare(),
            "ASSAY_SECRET_KEY": "test:" + "5a" * 32,
            "ASSAY_SAMPLE_STORE": str(folder / "samples"),
            "ASSAY_DATA_DIR": str(folder / "data"),
            "ASSAY_API_PORT": "0",
            "ASSAY_DATABASE_URL": database_url,
            "ASSAY_BROKER_URL": broker_url,
        },
        log=said,
    )


def lines_of(said: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.read_text().splitlines()]


def said_by(command: str, folder: Path, database_url: str) -> list[dict[str, Any]]:
    """Run a process until it complains, and a while longer; return its lines."""
    said = folder / command
    process = start(command, said, folder, database_url, _AWAY)
    eventually(lambda: '"warning"' in said.read_text())
    time.sleep(_SECONDS)
    process.terminate()
    process.wait(30)
    return lines_of(said)


def test_a_process_says_what_it_waits_for_and_goes_on_once_that_is_there(
    empty_database_url: str, tmp_path: Path
):
    redis = RedisServer(tmp_path)
    redis.kill()
    said = tmp_path / "said"
    process = start("consume", said, tmp_path, empty_database_url, redis.url)

    eventually(lambda: "not migrated; run assay db upgrade" in said.read_text())
    migrate.upgrade(empty_database_url)
    eventually(lambda: f"broker does not answer at {redis.url}: " in said.read_text())
    redis.start()
    eventually(lambda: "consumer.activated" in said.read_text())

    process.terminate()
    process.wait(30)
    redis.close()
    assert [line["event"] for line in lines_of(said)] == [
        "database.awaited",
        "database.arrived",
        "broker.awaited",
        "broker.arrived",
        "consumer.activated",
    ]


def test_a_database_that_is_away_is_named_and_the_api_says_where_it_listens(
    tmp_path: Path,
):
    said = tmp_path / "said"
    nowhere = "postgresql+psycopg://somebody:hidden@127.0.0.1:1/assay"
    process = start("api", said, tmp_path, nowhere, _AWAY)

    eventually(lambda: "api.started" in said.read_text())
    eventually(lambda: "database.awaited" in said.read_text())
    lines = {line["event"]: line for line in lines_of(said)}
    alive = httpx.get(f"{lines['api.started']['url']}/health/live")

    process.terminate()
    process.wait(30)
    assert alive.status_code == 200
    assert lines["database.awaited"]["hint"] == (
        "the database does not answer at 127.0.0.1:1: Connection refused"
    )
    assert "hidden" not in said.read_text()


@pytest.mark.parametrize("command", ["dispatch", "maintain"])
def test_a_broker_that_is_away_is_one_line(
    command: str, fresh_database_url: str, tmp_path: Path
):
    lines = said_by(command, tmp_path, fresh_database_url)

    assert [line["event"] for line in lines] == ["broker.awaited"]
    assert not [line for line in lines if "exception" in line]
