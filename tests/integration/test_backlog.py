"""
The backlog: its order, its fairness, its window, and what the broker refuses.
"""

from __future__ import annotations

import json
from dataclasses import replace
from uuid import UUID, uuid4

import psycopg
import pytest
from uuid_utils.compat import uuid7

from orchestrator.catalog.replicas import drain_replica
from orchestrator.contracts.assignment import Assignment
from orchestrator.db import users
from orchestrator.db.users import Customer
from orchestrator.domain.errors import (
    IdempotencyConflictError,
    InvalidError,
    NotFoundError,
    UnknownWorkerError,
)
from orchestrator.domain.values import Actor, Role
from orchestrator.domain.window import window
from orchestrator.flow.submit import create_job
from tests.fixtures.engine import Rig


def order_of(rig: Rig, jobs: list[UUID]) -> list[int]:
    sent = {outgoing.task_id: n for n, outgoing in enumerate(rig.publisher.sent)}
    ids = [rig.task(job).id for job in jobs]
    return sorted(range(len(jobs)), key=lambda n: sent[ids[n]])


def test_the_window_bounds_what_is_published(rig: Rig):
    rig.worker("alpha", slots=2)
    for n in range(10):
        rig.job(bytes([n]))

    assert (len(rig.dispatch()), len(rig.dispatch())) == (4, 0)


def test_what_ends_makes_room(rig: Rig):
    rig.worker("alpha", slots=2)
    jobs = [rig.job(bytes([n])) for n in range(10)]
    rig.dispatch()
    rig.tell(rig.task(jobs[0]), "success")

    # One is free, and one more as it ended within the last second.
    assert len(rig.dispatch()) == 2


@pytest.mark.parametrize(
    ("slots", "finished", "cap", "expected"),
    [(0, 9, None, 0), (4, 0, None, 8), (4, 10, None, 18), (4, 900, None, 512),
     (4, 10, 3, 3)],
)  # fmt: skip
def test_a_window_follows_slots_and_pace(slots, finished, cap, expected):
    assert window(slots=slots, finished=finished, most=512, cap=cap) == expected


def test_without_a_live_replica_nothing_is_published(rig: Rig):
    rig.worker("alpha")
    rig.job()
    rig.age(16)

    assert rig.dispatch() == []


def test_a_replica_that_leaves_gets_nothing_more(rig: Rig):
    rig.worker("alpha")
    rig.job()
    rig.heartbeat("alpha-1@host", leaving=True)

    assert rig.dispatch() == []


def test_a_replica_that_drains_gets_nothing_and_is_told_until_it_knows(rig: Rig):
    replica = rig.worker("alpha")
    rig.job()
    with rig.database.raw_connection(application_name="ear") as ear:
        ear.execute("LISTEN stop")

        _drain(rig, replica, drain=True)
        assert rig.dispatch() == []
        # It was lost, then it came; and the other way round. Each is heard before the
        # next is said: of two that say the same at once one is sent.
        assert _told(rig, ear) == [True]
        rig.heartbeat(replica)
        assert _told(rig, ear) == [True]
        rig.heartbeat(replica, draining=True)
        assert _told(rig, ear) == []
        _drain(rig, replica, drain=False)
        assert _told(rig, ear) == [False]
        rig.heartbeat(replica, draining=True)
        assert _told(rig, ear) == [False]
        rig.heartbeat(replica)
        assert _told(rig, ear) == []

    assert len(rig.dispatch()) == 1


def _drain(rig: Rig, replica: str, *, drain: bool) -> None:
    with rig.database.uow() as tx:
        drain_replica(tx, replica, drain=drain, actor=Actor("test"))


def _told(rig: Rig, ear: psycopg.Connection) -> list[bool]:
    """Return what was said of draining since the last time."""
    mark = uuid4().hex
    with rig.database.uow() as tx:
        tx.notify("stop", mark)
    heard: list[bool] = []
    for notice in ear.notifies(timeout=30):
        if notice.payload == mark:
            return heard
        heard.append(json.loads(notice.payload)["drain"])
    raise AssertionError("the mark did not come")


def test_priority_overtakes_and_ages(rig: Rig):
    """One step is worth ten minutes of waiting."""
    rig.worker("alpha", slots=8)
    old = rig.job(b"old")
    rig.age(601)
    rig.heartbeat("alpha-1@host", slots=8)
    low, high = rig.job(b"low"), rig.job(b"high", priority=1)

    rig.dispatch()

    assert order_of(rig, [old, high, low]) == [0, 1, 2]


def test_submitters_take_turns(rig: Rig):
    rig.worker("alpha", slots=8)
    flood = [rig.job(bytes([n])) for n in range(5)]
    with rig.database.uow() as tx:
        other = users.add_user(tx, user_id=uuid7(), name="other", role=Role.USER)
    single = rig.job(b"x", submitter_id=other.id)

    rig.dispatch()

    assert order_of(rig, [flood[0], single, *flood[1:]]) == list(range(6))


def test_what_the_broker_refuses_goes_back_to_the_backlog(rig: Rig):
    rig.worker("alpha")
    rig.worker("beta")
    job = rig.job()
    rig.publisher.refusing = {"beta"}
    rig.dispatch()
    assert rig.task(job, "alpha").published_at is not None
    assert rig.task(job, "beta").published_at is None

    rig.publisher.refusing = set()
    assert [outgoing.worker for outgoing in rig.dispatch()] == ["beta"]


def test_an_assignment_says_what_a_replica_needs_and_no_more(rig: Rig):
    rig.worker("alpha", run_seconds=7)
    job = rig.job(b"abc", file_name="a.bin", options={"deep": True})

    (sent,) = rig.dispatch()

    assert '"timeout_seconds":7.0' in sent.body
    assert '"file_name":"a.bin"' in sent.body
    assert '"options":{"deep":true}' in sent.body
    assert sent.token not in sent.body
    assert str(job) in sent.body


def test_a_worker_learns_what_is_of_one_customer_and_not_of_which(rig: Rig):
    rig.worker("alpha")
    rig.worker("beta")
    other = Customer(id=uuid7(), short_name="other", name="Other")
    with rig.database.uow() as tx:
        users.add_customer(tx, other)
    ours = [rig.job(b"1"), rig.job(b"2")]
    theirs = rig.job(b"3", customer_id=other.id)

    rig.dispatch()

    sent = [Assignment.model_validate_json(sent.body) for sent in rig.publisher.sent]
    said = {(given.worker, given.job_id): given.customer for given in sent}
    alpha = [said["alpha", job] for job in (*ours, theirs)]
    assert alpha[0] == alpha[1] != alpha[2]
    assert {*alpha}.isdisjoint(said["beta", job] for job in (*ours, theirs))
    assert {rig.user.customer_id, other.id}.isdisjoint(said.values())


def test_an_idempotency_key_gives_the_first_job_again(rig: Rig):
    rig.worker("alpha")
    first = rig.job(idempotency_key="k")

    assert rig.job(idempotency_key="k") == first
    with pytest.raises(IdempotencyConflictError):
        rig.job(b"other", idempotency_key="k")


def test_reanalysing_within_a_minute_answers_the_open_job(rig: Rig):
    rig.worker("alpha")
    first = rig.job(reanalyse=True)
    assert rig.job(reanalyse=True) == first

    rig.age(61)
    assert rig.job(reanalyse=True) != first


def test_a_reanalysis_that_is_over_answers_its_repeat_too(rig: Rig):
    first = rig.job(reanalyse=True)
    assert rig.job_state(first) == "done"

    assert rig.job(reanalyse=True) == first


def test_a_job_without_tasks_is_done_when_it_is_created(rig: Rig):
    rig.worker("alpha", accepts=("nothing-of-the-kind",))

    assert rig.job_state(rig.job()) == "done"


@pytest.mark.parametrize(
    ("fields", "error", "field"),
    [
        ({"workers": ("nobody",)}, UnknownWorkerError, "workers"),
        ({"workers": ()}, InvalidError, "workers"),
        ({"priority": 10}, InvalidError, "priority"),
    ],
)
def test_a_bad_order_writes_nothing(rig: Rig, fields, error, field):
    rig.worker("alpha")

    with pytest.raises(error) as caught:
        rig.job(**fields)

    assert caught.value.field == field
    assert rig.execute("SELECT 1 FROM job") == []


def test_a_job_of_an_unknown_sample_writes_nothing(rig: Rig):
    unknown = replace(rig.order(), sample_sha256="0" * 64)

    with pytest.raises(NotFoundError), rig.database.uow() as tx:
        create_job(tx, unknown, engine=rig.engine)

    assert rig.execute("SELECT 1 FROM job") == []


def test_every_worker_gets_a_reason(rig: Rig):
    rig.worker("alpha")
    rig.worker("beta", accepts=("pe",))
    job = rig.job()

    (row,) = rig.execute("SELECT selection FROM job WHERE id = :j", j=job)

    reasons = {choice["worker"]: choice["reason"] for choice in row.selection}
    assert reasons == {"alpha": "default_policy", "beta": "type_not_accepted"}


def test_a_sample_that_kills_a_worker_time_and_again_is_poison(rig: Rig):
    rig.worker("alpha")
    jobs = [rig.job(b"bad", submitter_id=rig.user.id) for _ in range(2)]
    good = rig.job(b"good")
    for n in range(3):
        rig.age(10)
        rig.heartbeat("alpha-1@host")
        rig.dispatch()
        rig.tell(rig.task(jobs[0]), "failed", reason="crashed")
        if n == 0:
            rig.tell(rig.task(good), "success")

    assert (rig.task(jobs[0]).state, rig.task(jobs[0]).reason) == ("failed", "poison")
    rig.expire()
    assert (rig.task(jobs[1]).state, rig.task(jobs[1]).reason) == ("failed", "poison")
    assert rig.job_state(rig.job(b"bad")) == "done"


def test_deaths_of_a_worker_that_finishes_nothing_else_are_not_the_samples(rig: Rig):
    rig.worker("alpha")
    job = rig.job(b"bad")
    for _ in range(3):
        rig.age(10)
        rig.heartbeat("alpha-1@host")
        rig.dispatch()
        rig.tell(rig.task(job), "failed", reason="crashed")

    assert rig.task(job).reason == "crashed"


def test_what_is_given_back_a_second_time_is_not_published_at_once(rig: Rig):
    rig.worker("alpha")
    job = rig.job()
    for _ in range(2):
        assert len(rig.dispatch()) == 1
        rig.tell(rig.task(job), "released")

    assert rig.dispatch() == []
    rig.age(2)
    rig.heartbeat("alpha-1@host")
    assert len(rig.dispatch()) == 1


def test_the_database_compiles_no_statement(rig: Rig):
    """By its estimate the claim is worth it; it takes ten times as long."""
    assert rig.execute("SHOW jit")[0].jit == "off"
