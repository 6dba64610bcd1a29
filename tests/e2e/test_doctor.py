"""
``assay doctor``, as typed, on what is broken, one by one. What it says of a stack that
is well is with the tests of the stack.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from orchestrator.api.deps import Services
from orchestrator.classify import SecondOpinion
from orchestrator.db.unit_of_work import Database
from orchestrator.domain.values import Role
from orchestrator.embedded.ports import free_port
from tests.fixtures.api import run_api
from tests.fixtures.brokers import (
    Broker,
    RabbitMQHost,
    RedisServer,
    rabbitmq,
    rabbitmq_hosts,
    redis_server,
)
from tests.fixtures.engine import Rig
from tests.fixtures.foreign import spoil
from tests.fixtures.nursery import run_assay

__all__ = ["rabbitmq", "rabbitmq_hosts", "redis_server"]

#: In every URL and key that a test gives; it must never be seen again.
SECRET = "Tr0ub4dor"


class Doctor:
    """The command in a world of its own, where nothing is set."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"

    def __call__(
        self, *words: str, **settings: object
    ) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ASSAY_")}
        given = {
            f"ASSAY_{name.upper()}": str(value) for name, value in settings.items()
        }
        environment = {**kept, "ASSAY_DATA_DIR": str(self.data_dir), **given}
        return run_assay("doctor", *words, environment=environment)

    def findings(self, **settings: object) -> dict[str, dict[str, Any]]:
        """Return what was found by name, having seen that nothing was given away."""
        done = self("--json", **settings)
        assert done.stderr == ""
        assert SECRET not in done.stdout
        document = json.loads(done.stdout)
        found = {finding["what"]: finding for finding in document["findings"]}
        failed = [finding for finding in found.values() if finding["level"] == "fail"]
        assert document["healthy"] is not bool(failed)
        assert done.returncode == int(bool(failed))
        assert all(
            finding["remedy"] for finding in found.values() if finding["level"] != "ok"
        )
        return found


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    return Doctor(tmp_path)


def test_where_nothing_is_set_each_line_says_what_to_do(doctor: Doctor):
    done = doctor()

    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (1, "")
    assert all(line.split()[0] in {"ok", "warn", "fail"} for line in lines)
    for name in ("DATABASE_URL", "BROKER_URL", "SECRET_KEY"):
        (line,) = [line for line in lines if f"ASSAY_{name} " in line]
        assert line.startswith("fail")
        assert f"export ASSAY_{name}=" in line
    assert not doctor.data_dir.exists()


#: Settings that are wrong, a run each, and what each of them is told.
WRONG: tuple[tuple[Mapping[str, object], Mapping[str, str]], ...] = (
    ({"lease_seconds": "soon"}, {"settings": "ASSAY_LEASE_SECONDS"}),
    ({"lease_seconds": 5}, {"settings": "ASSAY_HEARTBEAT_SECONDS"}),
    (
        {
            "secret_key": SECRET,
            "database_url": f"mysql://a:{SECRET}@h/d",
            "broker_url": f"redis://:{SECRET}@127.0.0.1:1/0",
            "api_url": "http://127.0.0.1:1",
            "api_key": SECRET,
        },
        {
            "ASSAY_SECRET_KEY": "ASSAY_SECRET_KEY",
            "database": "cannot be read",
            "broker": "127.0.0.1:1",
            "api": "nobody answers",
        },
    ),
    (
        {
            "database_url": SECRET,
            "broker_url": f"amqp://a:{SECRET}@127.0.0.1:1//",
            "api_url": "nowhere",
            "api_key": SECRET,
        },
        {
            "database": "cannot be read",
            "broker": "127.0.0.1:1",
            "api": "ASSAY_API_URL",
        },
    ),
    (
        {
            "database_url": f"postgresql+psycopg://a:{SECRET}@h:port/d",
            "broker_url": f"sqs://a:{SECRET}@h",
        },
        {"database": "cannot be read", "broker": "cannot be read"},
    ),
    (
        {"database_url": f"postgresql+psycopg://a:{SECRET}@127.0.0.1:1/d"},
        {"database": "refused"},
    ),
)


@pytest.mark.parametrize(("settings", "expected"), WRONG)
def test_each_thing_that_is_wrong_or_away_is_one_line(
    doctor: Doctor, settings: Mapping[str, object], expected: Mapping[str, str]
):
    found = doctor.findings(**settings)

    for what, said in expected.items():
        assert found[what]["level"] == "fail"
        assert said in found[what]["detail"]
        assert len(found[what]["detail"].splitlines()) == 1
    # A check that broke itself would say so, and be a fault of ours.
    assert "the check itself" not in str(found)


def test_a_wrong_password_is_the_databases_word(
    doctor: Doctor, fresh_database_url: str
):
    head, _, address = fresh_database_url.partition("@")
    user = head.rpartition("//")[2].partition(":")[0]

    found = doctor.findings(
        database_url=f"postgresql+psycopg://{user}:{SECRET}@{address}"
    )

    assert found["database"]["level"] == "fail"
    assert "password authentication failed" in found["database"]["detail"]


def test_a_database_without_tables_is_told_to_be_upgraded(
    doctor: Doctor, empty_database_url: str
):
    found = doctor.findings(database_url=empty_database_url)

    assert found["database"]["level"] == "ok"
    assert found["migrations"]["level"] == "fail"
    assert "assay db upgrade" in found["migrations"]["remedy"]


def test_a_database_where_nothing_runs_names_each_process(
    doctor: Doctor, fresh_database_url: str
):
    # A database that has just been made still has the canary of that moment.
    database = Database(fresh_database_url)
    with database.uow() as tx:
        aged = "UPDATE stream SET canary_at = canary_at - interval '1 minute'"
        tx.connection.execute(text(aged))
    database.close()

    found = doctor.findings(database_url=fresh_database_url)

    assert found["consumers"]["level"] == "fail"
    assert "assay consume" in found["consumers"]["remedy"]
    assert found["reports"]["level"] == "fail"
    # Nothing waits for it.
    assert found["dispatchers"]["level"] == "warn"
    assert found["workers"]["level"] == "warn"


def test_a_wrong_password_is_redis_word(doctor: Doctor, redis_server: RedisServer):
    url = redis_server.url.replace(redis_server.password, SECRET)

    found = doctor.findings(broker_url=url)

    assert found["broker"]["level"] == "fail"
    assert "password" in found["broker"]["detail"].lower()


def test_a_wrong_password_is_rabbitmqs_word(doctor: Doctor, rabbitmq: RabbitMQHost):
    found = doctor.findings(broker_url=rabbitmq.url.replace(":guest@", f":{SECRET}@"))

    assert found["broker"]["level"] == "fail"


def test_rabbitmq_answers(doctor: Doctor, rabbitmq: RabbitMQHost):
    found = doctor.findings(broker_url=rabbitmq.url)

    assert found["broker"]["level"] == "ok"


@pytest.mark.parametrize("broker", ["redis_server", "rabbitmq"])
def test_a_queue_that_is_none_of_ours_is_named_with_what_mends_it(
    doctor: Doctor, rig: Rig, broker: str, request: pytest.FixtureRequest
):
    server: Broker = request.getfixturevalue(broker)
    rig.worker("pe")
    urls = {"broker_url": server.url, "database_url": rig.database.url}
    well = doctor.findings(**urls)
    for name in ("worker.pe", "reports"):
        spoil(server, name)

    found = doctor.findings(**urls)

    assert well["queues"]["level"] == "ok"
    for name in ("worker.pe", "reports"):
        queue = found[f"queue {name}"]
        assert queue["level"] == "fail"
        assert ", not " in queue["detail"]
        assert queue["remedy"].endswith(name)
        assert queue["remedy"].startswith(("redis-cli -n 0 DEL", "rabbitmqctl -p "))


def test_a_redis_that_evicts_queues_is_warned_of(
    doctor: Doctor, redis_server: RedisServer
):
    with redis_server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.rpush("reports", *("x" for _ in range(5000)))

    found = doctor.findings(broker_url=redis_server.url)

    assert found["broker"]["level"] == "warn"
    assert "5000 reports" in found["broker"]["detail"]
    assert found["broker memory"]["level"] == "warn"
    assert "allkeys-lru" in found["broker memory"]["detail"]


def test_a_redis_that_answers_nothing_holds_nothing_up(
    doctor: Doctor, redis_server: RedisServer
):
    redis_server.freeze()

    found = doctor.findings(broker_url=redis_server.url)

    assert found["broker"]["level"] == "fail"
    assert "samples" in found


def test_a_store_that_cannot_be_written_to_is_told(doctor: Doctor, tmp_path: Path):
    (tmp_path / "a-file").write_text("no folder")
    (tmp_path / "good #1%20").mkdir()

    bad = doctor.findings(sample_store=tmp_path / "a-file")
    good = doctor.findings(sample_store=tmp_path / "good #1%20")

    assert bad["samples"]["level"] == "fail"
    assert good["samples"]["level"] == "ok"
    assert [
        path for path in (tmp_path / "good #1%20").rglob("*") if path.is_file()
    ] == []


def test_a_misspelt_setting_and_an_open_env_file_are_warned_of(doctor: Doctor):
    doctor.data_dir.mkdir()
    env = doctor.data_dir / "env"
    env.write_text(f"ASSAY_API_URL=http://127.0.0.1:{free_port()}\n")
    env.chmod(0o644)

    found = doctor.findings(lease_second=10, worker_slots=2)

    assert found["ASSAY_LEASE_SECOND"]["level"] == "warn"
    assert "ASSAY_WORKER_SLOTS" not in found
    assert found["settings"]["level"] == "warn"
    assert "chmod 600" in found["settings"]["remedy"]
    assert "ASSAY_API_URL" not in found


def test_a_key_that_the_api_does_not_know_is_told(doctor: Doctor, api: Any):
    unknown = f"assay_{secrets.token_hex(4)}_{'A' * 43}"

    found = doctor.findings(api_url=api.url, api_key=unknown)

    assert found["api"]["level"] == "fail"
    assert "401" in found["api"]["detail"]
    assert unknown not in str(found)


def test_an_api_without_a_second_opinion_is_warned_of(
    doctor: Doctor, api_services: Services, api_store_folder: Path
):
    services = replace(api_services, classifier=SecondOpinion())

    with run_api(services, api_store_folder) as api:
        found = doctor.findings(api_url=api.url, api_key=api.key(Role.ADMINISTRATOR))

    assert found["api"]["level"] == "ok"
    assert found["classifier"]["level"] == "warn"
    assert "our own rules alone" in found["classifier"]["detail"]
    assert found["classifier"]["remedy"]
