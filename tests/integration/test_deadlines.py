"""
Every clock: it ends what it should, when it should, and never what it should not.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.catalog.workers import pause_worker, resume_worker
from orchestrator.domain.limits import Retention
from orchestrator.domain.values import Actor
from orchestrator.maintenance import ClockWatch, Housekeeping, tick
from orchestrator.messaging.publisher import Publisher
from orchestrator.store import SampleStore
from tests.fixtures.engine import Rig


@pytest.fixture
def job(rig: Rig):
    rig.worker("alpha")
    return rig.job()


def limit(rig: Rig, **fields: Any) -> None:
    rig.engine = replace(rig.engine, limits=replace(rig.engine.limits, **fields))


def keep_alive(rig: Rig, *holds) -> None:
    """Send two heartbeats, so that the last two both say the same."""
    rig.heartbeat("alpha-1@host", *holds)
    rig.heartbeat("alpha-1@host", *holds)


def test_an_unpublished_task_waits_no_longer_than_its_queue_time(rig: Rig, job):
    rig.age(43_199)
    keep_alive(rig)
    assert rig.expire() == 0

    rig.age(2)
    assert rig.expire() == 1

    assert (rig.task(job).state, rig.task(job).reason) == ("timeout", "queue_wait")
    assert rig.job_state(job) == "done"


def test_an_expiry_is_applied_once(rig: Rig, job):
    rig.age(43_201)

    assert (rig.expire(), rig.expire()) == (1, 0)
    assert rig.events(rig.task(job)) == ["expired"]


def test_one_tick_goes_on_until_nothing_is_due(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """More than one transaction ends, and although the broker is away."""
    monkeypatch.setattr("orchestrator.flow.expire._LIMIT", 2)
    rig.worker("alpha")
    jobs = [rig.job(bytes([number])) for number in range(5)]
    rig.age(43_201)
    store = SampleStore.from_url(str(tmp_path))
    housekeeping = Housekeeping(rig.database, store, Retention())

    publisher = Publisher("redis://127.0.0.1:1")

    clock = ClockWatch()
    tick(rig.database, publisher, housekeeping, clock, engine=rig.engine)

    assert [rig.task(job).state for job in jobs] == ["timeout"] * 5


def test_no_clock_runs_beyond_what_was_read(rig: Rig, job):
    rig.dispatch()
    rig.tell(rig.task(job), "executing")
    rig.age(200)
    rig.execute("UPDATE stream SET watermark_at = now() - interval '100 seconds'")

    assert rig.expire() == 0


def test_after_a_gap_the_run_time_is_counted_anew(rig: Rig, job):
    rig.dispatch()
    rig.tell(rig.task(job), "executing")
    rig.age(200)
    rig.execute("UPDATE stream SET gap_ended_at = now() - interval '60 seconds'")
    assert rig.expire() == 0

    rig.age(66)
    rig.execute("UPDATE stream SET gap_ended_at = now() - interval '126 seconds'")
    assert rig.expire() == 1
    assert rig.task(job).reason == "run_time"


def test_a_paused_workers_clocks_stand_still(rig: Rig, job):
    with rig.database.uow() as tx:
        pause_worker(tx, "alpha", actor=Actor("test"))
    rig.age(50_000)
    assert (rig.expire(), rig.dispatch()) == (0, [])

    with rig.database.uow() as tx:
        resume_worker(tx, "alpha", actor=Actor("test"))
    keep_alive(rig)
    assert rig.expire() == 0

    rig.age(43_201)
    assert rig.expire() == 1


def test_nobody_home_ends_tasks_of_workers_that_once_were(rig: Rig, job):
    rig.expire()
    rig.age(3_500)
    assert rig.expire() == 0

    rig.age(200)
    assert rig.expire() == 1

    assert rig.task(job).reason == "no_worker"


def test_a_replica_that_comes_back_stops_the_clock(rig: Rig, job):
    rig.expire()
    rig.age(3_500)
    keep_alive(rig)
    rig.expire()
    rig.age(200)

    assert rig.expire() == 0


def test_a_worker_without_a_manifest_is_waited_for(rig: Rig):
    rig.execute(
        "INSERT INTO worker (id, short_name) VALUES (gen_random_uuid(), 'ghost')"
    )
    job = rig.job(workers=("ghost",))
    rig.age(10_000)

    assert rig.expire() == 0
    assert rig.task(job, "ghost").state == "enqueued"


def test_the_jobs_deadline_ends_what_is_open(rig: Rig):
    limit(rig, job_seconds=60)
    rig.worker("alpha")
    rig.worker("beta")
    job = rig.job()
    rig.dispatch()
    rig.tell(rig.task(job, "beta"), "success")

    rig.age(61)
    assert rig.expire() == 1

    assert rig.job_state(job) == "timeout"
    assert rig.task(job, "alpha").reason == "job_time"
    assert len(rig.verdicts(job)) == 1


def test_a_silent_holder_is_believed_for_a_lease(rig: Rig, job):
    rig.dispatch()
    rig.tell(rig.task(job), "executing")
    rig.age(14)
    assert rig.recover() == 0

    rig.age(2)
    assert rig.recover() == 1

    task = rig.task(job)
    assert (task.state, task.attempt, task.losses) == ("enqueued", 2, 1)
    assert rig.events(task) == ["lost"]


def test_three_lost_leases_end_a_task(rig: Rig, job):
    for _ in range(3):
        rig.heartbeat("alpha-1@host")
        rig.dispatch()
        rig.tell(rig.task(job), "executing")
        rig.age(16)
        rig.recover()

    assert (rig.task(job).state, rig.task(job).reason) == ("failed", "worker_lost")


def test_a_holder_that_lists_the_attempt_keeps_it(rig: Rig, job):
    rig.dispatch()
    rig.tell(rig.task(job), "executing")
    rig.age(60)
    keep_alive(rig, (rig.task(job).id, 1))

    assert rig.recover() == 0


def test_an_attempt_that_two_heartbeats_no_longer_list_is_lost(rig: Rig, job):
    rig.dispatch()
    rig.tell(rig.task(job), "executing")
    rig.age(1)
    rig.heartbeat("alpha-1@host")
    rig.canary()
    assert rig.recover() == 0

    rig.heartbeat("alpha-1@host")
    rig.canary()
    assert rig.recover() == 1

    assert rig.task(job).losses == 1


def test_heartbeats_that_come_before_the_first_canary_after_a_gap_cost_nothing(
    rig: Rig, job
):
    """A broker came back empty: the report in it is gone, by no one's fault."""
    rig.dispatch()
    rig.tell(rig.task(job), "executing")
    rig.age(1)
    rig.execute("UPDATE stream SET watermark_at = now() - interval '10 seconds'")
    keep_alive(rig)
    assert rig.recover() == 0

    rig.canary()
    assert rig.recover() == 1

    task = rig.task(job)
    assert (task.state, task.attempt, task.losses) == ("enqueued", 2, 0)


def test_a_loss_across_a_gap_uses_no_budget(rig: Rig, job):
    rig.dispatch()
    rig.tell(rig.task(job), "executing")
    rig.age(60)
    rig.execute("UPDATE stream SET gap_ended_at = now() - interval '30 seconds'")

    assert rig.recover() == 1

    task = rig.task(job)
    assert (task.state, task.attempt, task.losses) == ("enqueued", 2, 0)


def test_what_was_published_and_is_in_nobodys_hands_is_published_again(rig: Rig, job):
    (first,) = rig.dispatch()
    rig.age(5)
    rig.heartbeat("alpha-1@host")
    rig.heartbeat("alpha-1@host")
    rig.age(1)
    rig.heartbeat("alpha-1@host")

    assert rig.recover({"alpha": 0}) == 1
    (second,) = rig.dispatch()

    assert (second.task_id, second.attempt) == (first.task_id, first.attempt)
    assert rig.task(job).losses == 0


def test_what_waits_in_the_queue_is_left_there(rig: Rig, job):
    rig.dispatch()
    rig.age(60)
    keep_alive(rig)

    assert rig.recover({"alpha": 1}) == 0


def test_what_a_replica_lists_is_left_with_it(rig: Rig, job):
    (sent,) = rig.dispatch()
    rig.age(60)
    keep_alive(rig, (sent.task_id, 1, "received"))

    assert rig.recover({"alpha": 0}) == 0


def test_without_a_live_replica_nothing_is_published_again(rig: Rig, job):
    rig.dispatch()
    rig.age(60)

    assert rig.recover({"alpha": 0}) == 0


def test_a_hole_in_the_queue_shows_when_later_attempts_come_out(rig: Rig):
    """Single messages deleted by hand: the queue is never seen empty."""
    rig.worker("alpha")
    first = rig.job(b"1")
    rig.dispatch()
    rig.age(1)
    second = rig.job(b"2")
    rig.dispatch()
    rig.age(5)
    later = (rig.task(second).id, 1, "received")
    keep_alive(rig, later)
    rig.age(1)
    keep_alive(rig, later)

    assert rig.recover({"alpha": 9}) == 1
    assert rig.task(first).published_at is None


def test_disabling_a_worker_cancels_its_tasks(rig: Rig, job):
    rig.dispatch()
    rig.execute("UPDATE worker SET deleted_at = now()")

    rig.recover()

    assert (rig.task(job).state, rig.task(job).reason) == (
        "cancelled",
        "worker_disabled",
    )
