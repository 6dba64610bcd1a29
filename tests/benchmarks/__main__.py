"""
``python -m tests.benchmarks``: measures, and prints ratios of one run.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from orchestrator.db.migrate import upgrade
from orchestrator.embedded.postgres import start_postgres
from tests.benchmarks.throughput import (
    ANALYSIS_SECONDS,
    SHARED,
    SLOTS,
    share_of_ideal,
)
from tests.fixtures.brokers import RedisServer
from tests.fixtures.field import Field


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
        postgres = start_postgres(Path(folder) / "postgres")
        redis = RedisServer(Path(folder))
        redis.start()
        upgrade(postgres.url)
        field = Field(postgres.url, redis.url, Path(folder) / "field", settings=SHARED)
        try:
            field.start()
            share = share_of_ideal(field)
        finally:
            field.close()
            redis.stop()
            postgres.remove()
    ideal = SLOTS / ANALYSIS_SECONDS
    print(  # noqa: T201
        f"short analyses: {share:.0%} of the ideal"
        f" ({share * ideal:.0f} of {ideal:.0f} tasks a second)"
    )


if __name__ == "__main__":
    main()
