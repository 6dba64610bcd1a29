"""
Whatever the database's clock does, the service's time goes on, and nobody pays for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from orchestrator.db import service_clock
from orchestrator.db.unit_of_work import Database
from tests.fixtures import jumping_clock
from tests.fixtures.engine import Rig
from tests.fixtures.jumping_clock import JumpingClock

JUMPS = [-60, 60, -3_600, 3_600, -86_400, 86_400]

#: A jump is noticed by what was stored last as the present time.
LAG = timedelta(seconds=1)


@pytest.fixture
def clock(fresh_database_url: str) -> JumpingClock:
    return jumping_clock.install(fresh_database_url)


@pytest.fixture
def jumpy(
    clock: JumpingClock, fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Rig]:
    """An engine of which everybody has been there for long."""
    monkeypatch.setattr(service_clock, "_NOVICE_SECONDS", 0.0)
    database = Database(fresh_database_url)
    yield Rig(database)
    database.close()


def now(database: Database):
    with database.uow() as tx:
        return tx.now


def tick(rig: Rig) -> None:
    """One round of all that judges, as every half second."""
    rig.canary()
    rig.dispatch()
    rig.expire()
    rig.recover()


@pytest.mark.parametrize("jump", JUMPS)
def test_time_goes_on_and_the_jump_is_written_down(jumpy, clock, jump):
    jumpy.canary()
    before = now(jumpy.database)

    clock.jump(jump)

    assert timedelta() < now(jumpy.database) - before < LAG
    assert timedelta() < now(jumpy.database) - before < LAG
    (row,) = jumpy.execute("SELECT epoch, jump, correction FROM service_clock")
    assert row.epoch == 1
    assert abs(row.jump.total_seconds() - jump) < 1
    assert row.correction == -row.jump


def test_a_process_says_that_its_hosts_clock_is_another(jumpy, clock, monkeypatch):
    monkeypatch.setattr(service_clock, "_HOST_CLOCK_SECONDS", 0.0)
    clock.jump(-3_600)
    # Its first transaction ever: there is no jump that it could have seen.
    database = Database(jumpy.database.url)
    with closing(database), capture_logs() as said:
        now(database)

    line, *_ = [line for line in said if line["event"] == "clock.skewed"]
    assert abs(line["ahead_seconds"] - 3_600) < 60
    assert "NTP" in line["remedy"]


@pytest.mark.parametrize("jump", JUMPS)
def test_a_jump_costs_no_attempt_and_ends_no_task(jumpy, clock, jump):
    jumpy.worker("alpha")
    jumpy.worker("gone")
    running, waiting = jumpy.job(workers=["alpha"]), jumpy.job(workers=["gone"])
    jumpy.execute("UPDATE worker SET paused_at = now() WHERE short_name = 'gone'")
    jumpy.dispatch()
    task = jumpy.task(running)
    jumpy.tell(task, "executing")
    jumpy.heartbeat("alpha-1@host", (task.id, 1))
    tick(jumpy)

    clock.jump(jump)
    tick(jumpy)
    jumpy.heartbeat("alpha-1@host", (task.id, 1))
    tick(jumpy)
    jumpy.job(b"another", workers=["gone"])
    tick(jumpy)

    assert jumpy.task(running).state == "executing"
    assert jumpy.task(running).losses == 0
    assert jumpy.task(waiting, "gone").state == "enqueued"
    assert not jumpy.execute("SELECT 1 FROM task_event")
    jumpy.tell(task, "success")
    assert jumpy.task(running).state == "success"


@pytest.mark.parametrize("jump", [-3_600, 3_600])
def test_many_notice_at_once_and_one_writes_it(jumpy, clock, jump, fresh_database_url):
    others = [Database(fresh_database_url, pool_size=1) for _ in range(6)]
    jumpy.canary()
    times = [now(other) for other in others]
    clock.jump(jump)

    threads = [
        threading.Thread(target=lambda other=other: times.append(now(other)))
        for other in others
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for other in others:
        other.close()
    assert max(times) - min(times) < LAG * 2
    assert jumpy.execute("SELECT epoch FROM service_clock")[0].epoch == 1


def test_who_starts_after_a_jump_back_sees_it(jumpy, clock, fresh_database_url):
    jumpy.canary()
    before = now(jumpy.database)
    clock.jump(-3_600)

    newcomer = Database(fresh_database_url, pool_size=1)

    assert abs(now(newcomer) - before) < LAG
    newcomer.close()


@pytest.mark.parametrize("jump", [60, 86_400])
def test_who_starts_just_after_a_jump_forward_drags_nobody_along(
    jumpy, clock, jump, fresh_database_url, monkeypatch
):
    """It cannot know, and was believed to have lived through all that time."""
    jumpy.canary()
    before = now(jumpy.database)
    clock.jump(jump)
    with monkeypatch.context() as just_begun:
        just_begun.setattr(service_clock, "_NOVICE_SECONDS", 3_600.0)
        newcomer = Rig.attach(Database(fresh_database_url, pool_size=1))
        newcomer.dispatch()
        newcomer.canary(ago=jump)
        ahead = now(newcomer.database) - before

    assert ahead > timedelta(seconds=jump - 1)
    assert timedelta() < now(jumpy.database) - before < LAG * 5
    # And comes back, when somebody has noticed.
    assert abs(now(newcomer.database) - now(jumpy.database)) < LAG
    newcomer.database.close()


def test_nothing_has_been_read_up_to_a_time_that_is_to_come(jumpy):
    jumpy.canary(ago=-3_600)

    (row,) = jumpy.execute("SELECT watermark_at FROM stream")
    assert row.watermark_at <= now(jumpy.database)


@pytest.mark.parametrize("speed", [0.99, 1.01])
def test_a_clock_that_drifts_is_followed(jumpy, clock, speed):
    clock.run_at(speed)
    until = time.monotonic() + 2
    while time.monotonic() < until:
        tick(jumpy)
        time.sleep(0.1)

    assert jumpy.execute("SELECT epoch FROM service_clock")[0].epoch == 0


def test_what_is_newest_is_so_after_a_jump_back(jumpy, clock):
    jumpy.worker("alpha")
    first = jumpy.job(workers=["alpha"])
    jumpy.dispatch()
    jumpy.tell(jumpy.task(first), "success", score=10)
    jumpy.canary()

    clock.jump(-3_600)
    second = jumpy.job(workers=["alpha"])
    jumpy.dispatch()
    jumpy.tell(jumpy.task(second), "success", score=90)
    third = jumpy.job(workers=["alpha"])
    jumpy.dispatch()
    jumpy.tell(jumpy.task(third), "failed")

    newest = "SELECT score, is_manual FROM verdict ORDER BY created_at DESC LIMIT 1"
    assert jumpy.execute(newest)[0].score == 90
    (counted,) = jumpy.execute(
        "SELECT score FROM verdict_input WHERE source = 'previous'"
    )
    assert counted.score == 90
