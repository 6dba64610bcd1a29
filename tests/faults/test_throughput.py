from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.throughput import SHARED, share_of_ideal
from tests.fixtures.brokers import RedisServer
from tests.fixtures.field import Field
from tests.fixtures.rounds import only_long


@only_long
@pytest.mark.alone
@pytest.mark.timeout(180)
def test_short_analyses_reach_half_of_slots_by_duration(
    fresh_database_url: str, redis_server: RedisServer, tmp_path: Path
):
    field = Field(
        fresh_database_url, redis_server.url, tmp_path / "field", settings=SHARED
    )
    try:
        field.start()

        share = share_of_ideal(field)
    finally:
        field.close()

    assert share >= 0.5
