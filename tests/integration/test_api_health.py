"""
Health: red names what is missing, and only what is missing.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from orchestrator.api.app import create_app
from orchestrator.api.deps import Services
from orchestrator.contracts.foreign import ForeignQueue
from orchestrator.db.queues import replace_foreign
from orchestrator.db.unit_of_work import Database, Transaction
from orchestrator.queries.health import find_unusable, look
from tests.fixtures.api import API, serve

LEASE = timedelta(seconds=15)


@pytest.fixture
def tx(api: API) -> Iterator[Transaction]:
    """A transaction that is rolled back, of a healthy stream without replicas."""
    database = api.services.database
    with database.engine.connect() as connection, connection.begin() as transaction:
        now = connection.exec_driver_sql("SELECT transaction_timestamp()").scalar_one()
        tx = Transaction(connection=connection, now=now)
        # Other tests leave replicas behind.
        connection.exec_driver_sql("DELETE FROM replica")
        _stream(tx, canary=0, dispatched=0)
        yield tx
        transaction.rollback()


def _stream(tx: Transaction, *, canary: float, dispatched: float) -> None:
    tx.connection.exec_driver_sql("DELETE FROM stream")
    tx.connection.exec_driver_sql(
        "INSERT INTO stream (id, watermark_at, gap_ended_at, canary_at, dispatched_at)"
        " VALUES (1, now(), now(), now() - make_interval(secs => %s),"
        " now() - make_interval(secs => %s))",
        (canary, dispatched),
    )


def _replica(tx: Transaction, worker: str) -> None:
    tx.connection.exec_driver_sql(
        "INSERT INTO replica (id, worker_id, version, slots, sequence, seen_at)"
        " SELECT %s, id, '1', 1, 1, now() FROM worker WHERE short_name = %s",
        (f"{worker}-{secrets.token_hex(4)}", worker),
    )


def _missing(tx: Transaction) -> list[str]:
    return [missing.what for missing in look(tx, lease=LEASE).missing]


def test_all_is_well(tx: Transaction):
    assert _missing(tx) == []


def test_five_seconds_without_a_canary_are_red(tx: Transaction):
    _stream(tx, canary=6, dispatched=0)

    (missing,) = look(tx, lease=LEASE).missing

    assert missing.what == "reports"
    assert "6 s" in missing.detail
    assert missing.remedy


def test_a_backlog_with_replicas_and_no_dispatch_is_red(api: API, tx: Transaction):
    worker = api.add_worker()
    api.add_job(workers=[worker])
    _stream(tx, canary=0, dispatched=16)
    assert _missing(tx) == []

    _replica(tx, worker)

    (missing,) = look(tx, lease=LEASE).missing
    assert missing.what == "dispatcher"
    assert worker in missing.detail


def test_replicas_without_a_backlog_need_no_dispatcher(api: API, tx: Transaction):
    _replica(tx, api.add_worker())
    _stream(tx, canary=0, dispatched=16)

    assert _missing(tx) == []


def _foreign(name: str) -> ForeignQueue:
    return ForeignQueue(name=name, wanted="a=1", present="a=2", remedy=f"mend {name}")


def test_a_queue_that_everybody_uses_and_is_none_of_ours_is_red(tx: Transaction):
    replace_foreign(tx, [_foreign("reports")])

    (missing,) = look(tx, lease=LEASE).missing

    assert missing.what == "queue reports"
    assert missing.detail == "it has a=2, not a=1"
    assert missing.remedy == "mend reports"


def test_one_workers_queue_is_told_and_makes_nothing_red(tx: Transaction):
    """A load balancer would take the API from everybody."""
    replace_foreign(tx, [_foreign("worker.pe")])

    health = look(tx, lease=LEASE)

    assert health.missing == ()
    assert [trouble.remedy for trouble in health.troubles] == ["mend worker.pe"]


def test_an_exchange_is_red_unless_it_only_blinds_flower(tx: Transaction):
    replace_foreign(tx, [_foreign("exchange reports"), _foreign("exchange celeryev")])

    health = look(tx, lease=LEASE)

    assert [missing.what for missing in health.missing] == ["exchange reports"]
    assert [trouble.what for trouble in health.troubles] == ["exchange celeryev"]


def test_what_is_ours_again_or_was_not_looked_at_for_long_is_not_told(tx: Transaction):
    replace_foreign(tx, [_foreign("worker.pe"), _foreign("worker.pdf")])
    replace_foreign(tx, [_foreign("worker.pe")])
    again = look(tx, lease=LEASE).troubles
    tx.connection.exec_driver_sql(
        "UPDATE foreign_queue SET seen_at = now() - interval '1 minute'"
    )

    assert [trouble.what for trouble in again] == ["queue worker.pe"]
    assert look(tx, lease=LEASE).troubles == ()


def test_ready_tells_of_one_workers_trouble_and_stays_green(api: API):
    with api.services.database.uow() as tx:
        replace_foreign(tx, [_foreign("worker.pe")])
    api.run("UPDATE stream SET canary_at = now(), dispatched_at = now()")

    answer = api.bare.get("/health/ready")
    api.run("DELETE FROM foreign_queue")

    assert answer.status_code == 200
    data = answer.json()["data"]
    assert data["ready"]
    assert [trouble["what"] for trouble in data["troubles"]] == ["queue worker.pe"]


def test_migrations_behind_are_red(tx: Transaction):
    tx.connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'older'")

    assert [missing.what for missing in find_unusable(tx.connection)] == ["migrations"]


def test_alive_needs_nobody_else(api: API):
    answer = api.bare.get("/health/live")

    assert answer.status_code == 200
    assert answer.json()["data"] == {"alive": True}


def test_ready_names_what_is_missing(api: API):
    # Nobody dispatches in these tests, however long they run.
    api.run(
        "UPDATE stream SET canary_at = now() - interval '1 hour', dispatched_at = now()"
    )

    answer = api.bare.get("/health/ready")

    assert answer.status_code == answer.json()["responseCode"] == 503
    data = answer.json()["data"]
    assert answer.headers["Retry-After"] == "1"
    assert not data["ready"]
    assert [missing["what"] for missing in data["missing"]] == ["reports"]
    assert all(missing["detail"] and missing["remedy"] for missing in data["missing"])


def test_without_a_database_ready_is_red_and_requests_are_told_to_come_back(
    api_services: Services,
):
    # Port 1 refuses at once, as a database does that is being restarted.
    away = Database("postgresql+psycopg://nobody@127.0.0.1:1/none")
    app = create_app(
        Services(database=away, store=api_services.store, engine=api_services.engine)
    )

    with serve(app) as client:
        ready = client.get("/health/ready")
        request = client.get(
            "/sampledb/v2/job", headers={"Argus-API-Key": f"assay_{'0' * 8}_{'A' * 43}"}
        )

    assert ready.status_code == 503
    assert [missing["what"] for missing in ready.json()["data"]["missing"]] == [
        "database"
    ]
    assert request.status_code == request.json()["responseCode"] == 503
    assert request.headers["Retry-After"] == "1"


def test_a_missing_table_is_named_with_what_mends_it(
    api_services: Services, fresh_database_url: str
):
    database = Database(fresh_database_url)
    services = Services(
        database=database, store=api_services.store, engine=api_services.engine
    )
    with database.uow() as tx:
        tx.connection.exec_driver_sql("DROP TABLE foreign_queue")

    with serve(create_app(services)) as client, capture_logs() as said:
        ready = client.get("/health/ready")
    database.close()

    assert (ready.status_code, ready.headers["Retry-After"]) == (503, "1")
    assert ready.json()["data"]["missing"] == [
        {
            "what": "database",
            "detail": "its tables are of another version",
            "remedy": "assay db upgrade",
        }
    ]
    (line,) = [line for line in said if line["event"] == "database.unavailable"]
    assert line["error"] == "UndefinedTable"
