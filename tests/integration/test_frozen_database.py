"""
A database whose connections are frozen: what is sent is taken, and no answer comes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from orchestrator.db.link import ANSWER_SECONDS, BriefConnection, LimitedConnection
from orchestrator.db.unit_of_work import STATEMENT_TIMEOUT_MS, Database, Transaction
from tests.fixtures.freezing_proxy import FreezingProxy, freezing_link

#: Seconds for an answer in these tests, and for what waits for one of them.
_ANSWER_SECONDS = 0.5
_SOON_SECONDS = 4.0


@pytest.fixture
def link(
    fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[FreezingProxy, Database]]:
    monkeypatch.setattr(LimitedConnection, "answer_seconds", _ANSWER_SECONDS)
    monkeypatch.setattr(BriefConnection, "answer_seconds", _ANSWER_SECONDS)
    with (
        freezing_link(fresh_database_url) as (proxy, url),
        closing(Database(url)) as database,
    ):
        yield proxy, database


def one(tx: Transaction) -> int:
    return int(tx.connection.execute(text("SELECT 1")).scalar_one())


def test_a_busy_server_is_not_taken_for_a_silent_one():
    assert STATEMENT_TIMEOUT_MS / 1000 * 1.5 < ANSWER_SECONDS


def test_a_statement_without_an_answer_ends_and_the_next_has_another_connection(
    link: tuple[FreezingProxy, Database],
):
    proxy, database = link
    connection = database.engine.connect()
    proxy.freeze()
    started = time.monotonic()

    with pytest.raises(OperationalError) as raised:
        connection.execute(text("SELECT 1"))
    with database.uow() as tx:
        answer = one(tx)

    assert raised.value.connection_invalidated
    assert answer == 1
    assert time.monotonic() - started < _SOON_SECONDS


def test_a_commit_without_an_answer_ends(link: tuple[FreezingProxy, Database]):
    proxy, database = link
    connection = database.engine.connect()
    connection.execute(text("SELECT 1"))
    proxy.freeze()
    started = time.monotonic()

    with pytest.raises(OperationalError):
        connection.commit()

    assert time.monotonic() - started < _SOON_SECONDS


def test_what_lay_in_the_pool_when_the_link_froze_costs_nobody_a_transaction(
    link: tuple[FreezingProxy, Database],
):
    proxy, database = link
    with database.uow() as tx, database.uow() as other:
        assert one(tx) == one(other)
    proxy.freeze()
    started = time.monotonic()

    for _ in range(2):
        with database.uow() as tx:
            assert one(tx) == 1

    assert time.monotonic() - started < _SOON_SECONDS


def test_closing_waits_for_nothing_however_much_was_not_taken(
    link: tuple[FreezingProxy, Database],
):
    proxy, database = link
    connections = [
        database.raw_connection(application_name=f"test {number}")
        for number in range(3)
    ]
    with database.uow() as tx:
        one(tx)
    proxy.freeze()
    started = time.monotonic()

    for connection in connections:
        connection.close()
    database.close()

    assert time.monotonic() - started < _ANSWER_SECONDS


def test_whoever_listens_finds_out_by_asking(link: tuple[FreezingProxy, Database]):
    proxy, database = link
    with closing(database.raw_connection(application_name="test")) as connection:
        connection.execute("LISTEN work")
        proxy.freeze()

        heard = list(connection.notifies(timeout=_ANSWER_SECONDS * 2))
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")

        assert heard == []
        assert connection.closed


def test_notices_go_out_on_another_connection(
    link: tuple[FreezingProxy, Database], fresh_database_url: str
):
    proxy, database = link
    with (
        closing(Database(fresh_database_url)) as straight,
        closing(straight.raw_connection(application_name="test")) as listener,
    ):
        listener.execute("LISTEN work")
        heard = notified(database, listener, "before")
        proxy.freeze()

        heard += notified(database, listener, "after")

    assert heard == ["before", "after"]


def test_what_follows_from_an_error_is_no_line_of_its_own(
    fresh_database_url: str, caplog: pytest.LogCaptureFixture
):
    """Of a pipeline that broke with its connection, psycopg warned each time."""
    with closing(Database(fresh_database_url)) as database:
        connection = database.raw_connection(application_name="test")
        with database.uow() as tx:
            ended = text("SELECT pg_terminate_backend(:pid)")
            tx.connection.execute(ended, {"pid": connection.info.backend_pid})

        with pytest.raises(psycopg.OperationalError), connection.cursor() as cursor:
            cursor.executemany("SELECT %s", [("one",), ("two",)])

    assert caplog.records == []


def notified(
    database: Database, listener: psycopg.Connection, payload: str
) -> list[str]:
    """Send a notice again and again, until something is heard."""
    deadline = time.monotonic() + _SOON_SECONDS
    heard: list[str] = []
    while not heard and time.monotonic() < deadline:
        with database.uow() as tx:
            tx.notify("work", payload)
        heard = [notice.payload for notice in listener.notifies(timeout=0.2)]
    return sorted(set(heard))
