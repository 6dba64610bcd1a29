"""
Workers, policy and customers are read once, and never believed for longer than they
stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, text

from orchestrator.db.unit_of_work import Database
from tests.fixtures.engine import Rig

_CHANGES = {
    "a worker is added": "INSERT INTO worker (id, short_name)"
    " VALUES (gen_random_uuid(), 'another')",
    "a worker is renamed": "UPDATE worker SET short_name = 'renamed'",
    "a manifest is adopted": "UPDATE worker SET version = '2'",
    "a worker has other limits": "UPDATE worker SET run_seconds = 7",
    "a worker may lose more": "UPDATE worker SET max_losses = 7",
    "a worker is enrolled": "UPDATE worker SET generation = generation + 1",
    "a worker is deleted": "UPDATE worker SET deleted_at = now()",
    "a version comes": "INSERT INTO worker_version"
    " (worker_id, version, accepts, run_seconds, max_tlp, sends_data_out)"
    " SELECT id, '9', '{}', 1, 'red', false FROM worker",
    "a version goes": "DELETE FROM worker_version",
    "the policy is set": "UPDATE policy SET worker_ids = '{}'",
    "a rule is added": "INSERT INTO policy_rule (id, name, description, created_by)"
    " SELECT gen_random_uuid(), 'rule', '', id FROM api_user",
    "a customer is added": "INSERT INTO customer (id, short_name, name)"
    " VALUES (gen_random_uuid(), 'another', 'Another')",
}

_NO_CHANGES = {
    "nothing was different": "UPDATE worker SET version = '2' WHERE version = '0'",
    "a worker is paused": "UPDATE worker SET paused_at = now()",
    "a sweep passed": "UPDATE worker SET nobody_home_since = now(), drained_to = now()",
}


def _revision(database: Database) -> UUID:
    with database.uow() as tx:
        assert tx.registry is not None
        return tx.registry.revision


@contextmanager
def _statements(database: Database) -> Iterator[list[str]]:
    said: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        said.append(" ".join(statement.split()))

    event.listen(database.engine, "before_cursor_execute", note)
    yield said
    event.remove(database.engine, "before_cursor_execute", note)


@pytest.fixture
def shop(rig: Rig) -> Rig:
    """An engine with a worker that has a manifest."""
    rig.worker("alpha")
    return rig


@pytest.mark.parametrize("change", _CHANGES)
def test_every_change_gives_another_revision(shop: Rig, change: str):
    before = _revision(shop.database)

    shop.execute(_CHANGES[change])

    assert _revision(shop.database) != before


@pytest.mark.parametrize("change", _NO_CHANGES)
def test_what_happens_all_the_time_gives_none(shop: Rig, change: str):
    before = _revision(shop.database)

    shop.execute(_NO_CHANGES[change])

    assert _revision(shop.database) == before


def test_a_second_job_reads_no_worker_and_no_policy(shop: Rig):
    shop.job()

    with _statements(shop.database) as said:
        shop.job()

    tables = ("FROM worker", "FROM policy", "FROM customer")
    assert not [words for words in said if any(table in words for table in tables)]


def test_another_processs_change_is_seen_by_the_next_transaction(shop: Rig):
    shop.job()
    with closing(Database(shop.database.url)) as other, other.uow() as tx:
        tx.connection.execute(text("UPDATE worker SET deleted_at = now()"))

    assert not shop.tasks(shop.job())


def test_what_was_rolled_back_was_never_known(shop: Rig):
    before = _revision(shop.database)
    with shop.database.engine.connect() as connection:
        connection.execute(text("UPDATE worker SET deleted_at = now()"))
        connection.rollback()

    assert _revision(shop.database) == before
    assert len(shop.tasks(shop.job())) == 1


def test_two_that_change_it_do_not_wait_for_each_others_work(shop: Rig):
    shop.worker("beta")
    change = text("UPDATE worker SET max_losses = 4 WHERE short_name = :name")
    with shop.database.engine.connect() as one, shop.database.engine.connect() as two:
        one.execute(change, {"name": "alpha"})
        two.execute(text("SET LOCAL lock_timeout = '2s'"))
        two.execute(change, {"name": "beta"})

        two.commit()
        one.commit()

    found = shop.execute("SELECT max_losses FROM worker")
    assert [row.max_losses for row in found] == [4, 4]
