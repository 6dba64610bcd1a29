"""
A Redis that is there and refuses for a while: it was demoted, or is full. Every process
lives through it, says so in a line, and goes on; nothing is lost and nobody pays.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.brokers import RedisServer
from tests.fixtures.field import Field
from tests.fixtures.ledger import Ledger
from tests.fixtures.rounds import only_long
from tests.fixtures.waiting import eventually

#: Longer than a lease of the field, so that clocks would run out that should not.
_REFUSED_SECONDS = 9
JOBS = 20

SOURCE = """
import time
from workers import Analysis, Sample, analyzer

@analyzer("slow", version="1", run_seconds=30)
def look(sample: Sample) -> Analysis:
    time.sleep(1)
    return Analysis(score=1)
"""


@pytest.fixture
def field(
    fresh_database_url: str, redis_server: RedisServer, tmp_path: Path
) -> Iterator[Field]:
    field = Field(fresh_database_url, redis_server.url, tmp_path)
    try:
        yield field
    finally:
        field.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("refuse", "mend"),
    [
        ("fill", "make_room"),
        pytest.param("demote", "promote", marks=only_long),
    ],
)
def test_everybody_lives_through_it_and_nothing_is_lost(
    field: Field, redis_server: RedisServer, ledger: Ledger, refuse: str, mend: str
):
    field.start()
    field.replicas({"slow": SOURCE}, slots=4)
    ledger.open(field)
    for number in range(JOBS):
        field.job(f"before {number}".encode())
    eventually(lambda: field.count("state = 'executing'") > 0)

    getattr(redis_server, refuse)()
    for number in range(JOBS):
        field.job(f"during {number}".encode())
    time.sleep(_REFUSED_SECONDS)
    getattr(redis_server, mend)()

    field.wait_until_done()
    ledger.close(field, tasks=2 * JOBS)
    require_quiet(field)


@only_long
@pytest.mark.timeout(300)
def test_everybody_starts_at_one_that_takes_no_writes(
    field: Field, redis_server: RedisServer
):
    redis_server.demote()
    field.start()
    eventually(lambda: bool(field.said("maintain-0", "broker.refused")))
    redis_server.promote()

    field.replicas({"slow": SOURCE}, slots=4)
    field.job(b"one")
    field.wait_until_done()

    assert field.endings() == {"success": 1}
    require_quiet(field)


def require_quiet(field: Field) -> None:
    """Nobody ended, and of each trouble of less than a minute there is one line."""
    for name, member in field.keeper.members.items():
        assert member.starts == 1, name
        lines = field.said(name)
        assert not [line for line in lines if "exception" in line], name
        said = [
            (line["event"], str(line.get("step")), str(line.get("error"))[:200])
            for line in lines
            if line["level"] in {"warning", "error", "critical"}
        ]
        assert len(said) == len(set(said)), name
        assert len(said) <= 5, (name, said)
