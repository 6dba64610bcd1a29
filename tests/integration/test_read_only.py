"""
A database that takes no writes, as a demoted one does: it is away, and then it is back.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from orchestrator.db.unit_of_work import Database
from orchestrator.domain.values import Role
from tests.fixtures.api import API, open_services, run_api


class Demotable:
    """A database that can be demoted, and promoted again."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._name = make_url(url).database
        self._engine = create_engine(url, isolation_level="AUTOCOMMIT")

    def demote(self) -> None:
        """Let no session write any more, those that are open included."""
        self._set("SET default_transaction_read_only = on")

    def promote(self) -> None:
        """Let new sessions write; those of before stay as they are."""
        self._set("RESET default_transaction_read_only", ends=False)

    def close(self) -> None:
        self._engine.dispose()

    def _set(self, change: str, *, ends: bool = True) -> None:
        with self._engine.connect() as connection:
            connection.execute(text("SET transaction_read_only = off"))
            connection.execute(text(f'ALTER DATABASE "{self._name}" {change}'))
            if ends:
                connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database()"
                        " AND pid <> pg_backend_pid()"
                    )
                )


@pytest.fixture
def demotable(fresh_database_url: str) -> Iterator[Demotable]:
    demotable = Demotable(fresh_database_url)
    yield demotable
    demotable.promote()
    demotable.close()


@pytest.fixture
def api(demotable: Demotable, tmp_path: Path) -> Iterator[API]:
    with (
        open_services(demotable.url, tmp_path) as services,
        run_api(services, tmp_path) as running,
    ):
        yield running


def test_a_database_that_takes_no_writes_is_away_until_it_does(demotable: Demotable):
    database = Database(demotable.url)
    write = text("UPDATE stream SET epoch = epoch + 1")
    with database.uow() as tx:
        tx.connection.execute(write)
    demotable.demote()

    for _ in range(3):
        with pytest.raises(OperationalError), database.uow() as tx:
            tx.connection.execute(write)

    demotable.promote()
    # The connection that could not write was thrown away.
    with database.uow() as tx:
        tx.connection.execute(write)
    database.close()


def test_the_api_says_that_it_is_away_and_what_is_wrong(demotable: Demotable, api: API):
    client = api.as_(Role.USER)
    assert client.post("/sample", content=secrets.token_bytes(9)).is_success
    demotable.demote()

    answer = client.post("/sample", content=secrets.token_bytes(9))
    ready = api.bare.get("/health/ready")

    assert (answer.status_code, ready.status_code) == (503, 503)
    assert int(answer.headers["retry-after"]) > 0
    assert "takes no writes" in ready.text
    demotable.promote()
    # Once more at most: the connection that asked whether all is ready is still there,
    # and goes with the first write that it does not take.
    again = [
        client.post("/sample", content=secrets.token_bytes(9)).is_success
        for _ in range(2)
    ]
    assert again[-1]
