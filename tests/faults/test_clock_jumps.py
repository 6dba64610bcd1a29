"""
The database's clock jumps, back and forward, while work is under way; nobody pays.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from orchestrator.db.migrate import upgrade
from tests.fixtures import jumping_clock
from tests.fixtures.brokers import Broker
from tests.fixtures.faketime import find_library, postgres_with_a_clock
from tests.fixtures.field import Field, descendants, kill
from tests.fixtures.ledger import Ledger
from tests.fixtures.rounds import IS_LONG, only_long
from tests.fixtures.waiting import eventually

MINUTE, HOUR, DAY = 60, 3_600, 86_400
JUMPS = [-MINUTE, DAY]
if IS_LONG:
    JUMPS = [-MINUTE, MINUTE, HOUR, -HOUR, DAY, -DAY, -2, 2]

SLOTS = 6
JOBS = 3 * SLOTS

#: After each jump: the lease of six seconds, and two more.
_SETTLE_SECONDS = 8

#: It takes a tick; half a minute is a machine that stands still.
_NOTICE_SECONDS = 30

#: Longer than all jumps take: it runs through each of them.
_LOOK_SECONDS = len(JUMPS) * (_SETTLE_SECONDS + 2) + 5

SOURCE = f"""
import time
from workers import Analysis, Sample, analyzer

@analyzer("patient", version="1", run_seconds={_LOOK_SECONDS + 60})
def look(sample: Sample) -> Analysis:
    time.sleep(max(0.2, sample.options.get("until", 0) - time.monotonic()))
    return Analysis(score=1)
"""

Jump = Callable[[float], None]


@pytest.fixture(params=["redis_server", "rabbitmq"] if IS_LONG else ["redis_server"])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Redis alone in the check: no clock of a broker's is asked."""
    found: Broker = request.getfixturevalue(request.param)
    return found


@pytest.mark.timeout(400)
def test_jumps_of_the_clock_end_nothing_and_nothing_stands_still_after_them(
    fresh_database_url: str, broker: Broker, tmp_path: Path, ledger: Ledger
):
    clock = jumping_clock.install(fresh_database_url)
    with opened(fresh_database_url, broker, tmp_path) as field:
        work_through_jumps(field, clock.jump, ledger)


@only_long
@pytest.mark.timeout(600)
@pytest.mark.skipif(find_library() is None, reason="libfaketime is not installed")
def test_a_server_whose_own_clock_jumps_does_as_well(
    broker: Broker, tmp_path: Path, ledger: Ledger
):
    with postgres_with_a_clock(tmp_path / "postgres") as server:
        upgrade(server.url)
        with opened(server.url, broker, tmp_path) as field:
            work_through_jumps(field, server.jump, ledger)


@only_long
@pytest.mark.parametrize("speed", [0.98, 1.02])
def test_a_clock_that_drifts_ends_nothing(
    fresh_database_url: str,
    broker: Broker,
    tmp_path: Path,
    ledger: Ledger,
    speed: float,
):
    clock = jumping_clock.install(fresh_database_url)
    with opened(fresh_database_url, broker, tmp_path) as field:
        ledger.open(field)
        clock.run_at(speed)
        for number in range(JOBS):
            field.job(str(number).encode(), options=until(number))

        field.wait_until_done(within=_LOOK_SECONDS + 60)

        ledger.close(field, tasks=JOBS)
        assert field.count("attempt > 1") == 0


@contextmanager
def opened(database_url: str, broker: Broker, folder: Path) -> Iterator[Field]:
    field = Field(database_url, broker.url, folder / "field")
    try:
        field.start({"maintain": 2})
        field.replicas({"patient": SOURCE}, slots=SLOTS)
        yield field
    finally:
        field.close()


def work_through_jumps(field: Field, jump: Jump, ledger: Ledger) -> None:
    ledger.open(field)
    for number in range(JOBS):
        field.job(str(number).encode(), options=until(number))
    eventually(lambda: field.count("state = 'executing'") == SLOTS)

    for number, seconds in enumerate(JUMPS, start=1):
        jump(seconds)
        began = time.monotonic()
        while jumps(field) < number:
            assert time.monotonic() - began < _NOTICE_SECONDS
        print(f"{seconds:+} s: noticed after {time.monotonic() - began:.1f} s")  # noqa: T201
        field.job(f"after jump {number}".encode())
        time.sleep(_SETTLE_SECONDS)
        assert field.endings() == {
            "executing": SLOTS,
            "enqueued": JOBS - SLOTS + number,
        }
    assert field.count("attempt > 1") == 0
    assert not field.rows("SELECT 1 FROM task_event")

    # Who is really gone is found out, as before, and started again.
    parent = field.keeper.pid("replica-patient")
    assert parent is not None
    kill([*descendants(parent), parent])
    eventually(lambda: field.count("losses = 1") == SLOTS)
    field.wait_until_done(within=_LOOK_SECONDS + 60)
    ledger.close(field, tasks=JOBS + len(JUMPS), may_charge=True)
    assert jumps(field) == len(JUMPS)


def until(number: int) -> dict[str, float]:
    """Let the first ones last; another attempt at one ends when the first would."""
    # One clock for all processes of a machine.
    return {"until": time.monotonic() + _LOOK_SECONDS} if number < SLOTS else {}


def jumps(field: Field) -> int:
    # Past the code under test, which would notice.
    with field.database.engine.connect() as connection:
        row = connection.execute(text("SELECT epoch FROM service_clock")).one()
    return int(row.epoch)
