"""
A sample that kills: it is convicted after three deaths, however many jobs it has, and
whatever dies of it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from orchestrator.contracts.alive import Manifest
from orchestrator.contracts.assignment import Assignment
from orchestrator.domain.limits import Limits
from orchestrator.flow.ports import Engine
from orchestrator.messaging.outgoing import Outgoing
from tests.fixtures.engine import KEYS, Rig


@pytest.fixture
def well(rig: Rig) -> Rig:
    """A worker that has finished another sample."""
    rig.worker("alpha", slots=60)
    done = rig.job(b"harmless")
    rig.dispatch()
    rig.tell(rig.task(done), "success")
    return rig


def turn(rig: Rig) -> list[Outgoing]:
    """Return what is sent after the back-off of whatever was lost."""
    rig.age(10)
    rig.heartbeat("alpha-1@host", slots=60)
    return rig.dispatch()


def end(rig: Rig, attempt: Outgoing, kind: str, **fields: Any) -> None:
    """Report the end of what was sent."""
    assignment = Assignment.model_validate_json(attempt.body)
    rig.tell(rig.task(assignment.job_id), kind, **fields)


def kill(rig: Rig) -> Counter[str]:
    """Let whatever is sent die, until nothing is; return how often of which sample."""
    deaths: Counter[str] = Counter()
    while sent := turn(rig):
        for attempt in sent:
            end(rig, attempt, "failed", reason="crashed")
            deaths[Assignment.model_validate_json(attempt.body).sample.sha256] += 1
        rig.expire()
    return deaths


def silence(rig: Rig) -> None:
    """The replica is heard no more, for longer than a lease."""
    rig.execute("UPDATE replica SET seen_at = now() - interval '60 seconds'")
    rig.execute("UPDATE job_task SET started_at = now() - interval '60 seconds'")
    rig.canary()
    rig.recover()


def test_fifty_jobs_of_a_killer_kill_three_times(well: Rig):
    jobs = [well.job(b"killer") for _ in range(50)]
    deaths = 0

    while sent := turn(well):
        (attempt,) = sent
        end(well, attempt, "failed", reason="crashed")
        deaths += 1
        well.expire()

    assert deaths == 3
    assert {well.task(job).reason for job in jobs} == {"poison"}
    assert {well.job_state(job) for job in jobs} == {"done"}


@pytest.mark.parametrize("max_losses", [1, 2, 3])
def test_fifty_jobs_of_each_of_several_killers_kill_three_times_each(
    well: Rig, max_losses: int
):
    """Fewer losses than deaths: each task ends by the death of another sample."""
    well.engine = Engine(limits=Limits(max_losses=max_losses), keys=KEYS)
    killers = (b"one killer", b"another", b"a third")
    jobs = [well.job(content) for content in killers for _ in range(50)]

    deaths = kill(well)

    assert deaths == {well.sample(content): 3 for content in killers}
    ended = Counter(well.task(job).reason for job in jobs)
    assert ended["poison"] + ended["crashed"] == len(jobs)
    assert ended["crashed"] <= 2 * len(killers)
    for content in killers:
        assert well.tasks(well.job(content)) == {}


def test_a_killer_that_may_be_innocent_rests_until_the_worker_proves_to_be_well(
    rig: Rig,
):
    rig.worker("alpha", slots=60)
    killers = (b"one", b"two")
    jobs = [rig.job(content) for content in killers for _ in range(50)]
    assert kill(rig) == {rig.sample(content): 3 for content in killers}
    assert "poison" not in {rig.task(job).reason for job in jobs}

    rig.age(600)
    done = rig.job(b"harmless")
    sent = turn(rig)
    rig.tell(rig.task(done), "success")
    for attempt in sent:
        if attempt.task_id != rig.task(done).id:
            end(rig, attempt, "failed", reason="crashed")
    rig.expire()

    assert len(sent) == 1 + len(killers)
    assert kill(rig) == {}
    assert Counter(rig.task(job).reason for job in jobs) == {"crashed": 2, "poison": 98}


@pytest.mark.parametrize("max_losses", [1, 3])
def test_a_worker_that_has_begun_to_die_of_everything_poisons_nothing_for_good(
    well: Rig, max_losses: int
):
    well.engine = Engine(limits=Limits(max_losses=max_losses), keys=KEYS)
    contents = [f"innocent {number}".encode() for number in range(20)]
    for content in contents * 3:
        well.job(content)

    kill(well)

    assert not well.execute("SELECT 1 FROM poison WHERE poisoned_at IS NOT NULL")
    assert all(well.tasks(well.job(content)) for content in contents)


def test_a_sample_whose_bytes_were_missing_was_not_finished(well: Rig):
    for _ in range(5):
        well.job(b"lost")
    (first,) = turn(well)

    end(well, first, "failed", reason="sample_missing")

    assert len(turn(well)) == 1


def test_what_a_version_has_finished_once_is_published_in_bulk(well: Rig):
    jobs = [well.job(b"clean") for _ in range(20)]
    (first,) = turn(well)
    assert turn(well) == []

    end(well, first, "success")

    assert len(turn(well)) == len(jobs) - 1


@pytest.mark.parametrize("reason", ["error", "bad_result"])
def test_an_analysis_that_fails_has_finished(well: Rig, reason: str):
    for _ in range(5):
        well.job(b"strange")
    (first,) = turn(well)

    end(well, first, "failed", reason=reason)

    assert len(turn(well)) == 4


def test_a_new_version_has_finished_nothing_yet(well: Rig):
    done = well.job(b"clean")
    turn(well)
    well.tell(well.task(done), "success")
    well.age(10)
    well.heartbeat("alpha-1@host", slots=60, worker_version="2", manifest=Manifest())
    for _ in range(5):
        well.job(b"clean")

    assert len(well.dispatch()) == 1


def test_others_do_not_wait_behind_the_jobs_of_a_killer(well: Rig):
    for _ in range(3):
        well.job(b"killer")
    (first,) = turn(well)
    end(well, first, "failed", reason="crashed")
    later = well.job(b"later")

    order = well.execute(
        "SELECT job_id FROM job_task WHERE state = 'enqueued' AND attempt = 1"
        " ORDER BY order_at"
    )

    assert order[0].job_id == later


def test_a_worker_that_died_of_what_it_ended_last_is_not_well(rig: Rig):
    rig.worker("alpha")
    for content in (b"one", b"two"):
        job = rig.job(content)
        for _ in range(3):
            turn(rig)
            rig.tell(rig.task(job), "failed", reason="out_of_memory")

        assert rig.task(job).reason == "out_of_memory"


def test_a_replica_that_dies_of_what_it_ran_alone_convicts_it(well: Rig):
    job = well.job(b"killer")
    alone = []
    for _ in range(3):
        (sent,) = turn(well)
        alone.append('"alone":true' in sent.body)
        well.tell(well.task(job), "executing")
        silence(well)
    assert alone == [False, False, True]
    assert well.task(job).reason == "worker_lost"

    again = well.job(b"killer")
    for _ in range(2):
        (sent,) = turn(well)
        assert '"alone":true' in sent.body
        well.tell(well.task(again), "executing")
        silence(well)

    assert (well.task(again).state, well.task(again).reason) == ("failed", "poison")


@pytest.mark.parametrize("max_losses", [1, 2])
def test_so_it_does_where_each_task_has_few_losses(well: Rig, max_losses: int):
    well.engine = Engine(limits=Limits(max_losses=max_losses), keys=KEYS)
    jobs = [well.job(b"killer") for _ in range(20)]
    alone = []

    while sent := turn(well):
        (attempt,) = sent
        alone.append('"alone":true' in attempt.body)
        assignment = Assignment.model_validate_json(attempt.body)
        well.tell(well.task(assignment.job_id), "executing")
        silence(well)
        well.expire()

    # Two might have been anything's fault, three were not.
    assert alone == [False, False, True, True, True]
    assert {well.task(job).reason for job in jobs} == {"worker_lost", "poison"}
    assert {well.job_state(job) for job in jobs} == {"done"}


def test_a_replica_that_dies_with_others_in_hand_convicts_nobody(well: Rig):
    job = well.job(b"innocent")
    for number in range(3):
        beside = well.job(f"beside {number}".encode())
        turn(well)
        well.tell(well.task(job), "executing")
        well.tell(well.task(beside), "executing")
        silence(well)

    assert well.task(job).reason == "worker_lost"
    assert well.execute("SELECT 1 FROM poison") == []
