"""
A row says that its analysis runs soon after it began, while a hundred tasks a second
come and go. Compares two clocks, as nothing in the engine does: here both are one
machine's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.bench.summary import percentile
from tests.benchmarks.throughput import SHARED, fill_backlog
from tests.fixtures.brokers import RedisServer
from tests.fixtures.field import Field

#: Ends a hundred tasks a second with :data:`ANALYSIS_SECONDS`.
SLOTS = 60

#: So long that what is said at the beginning is not overtaken by the end.
ANALYSIS_SECONDS = 0.6
TASKS = 1200

SOURCE = f"""
import time
from workers import Analysis, Sample, analyzer

@analyzer("steady", version="1", run_seconds=30)
def look(sample: Sample) -> Analysis:
    began = time.time()
    time.sleep({ANALYSIS_SECONDS})
    return Analysis(score=1, result={{"began": began}})
"""

#: Deferred: it runs at the commit, not when the statement did its part.
WATCH = """
    CREATE TABLE left_queue (task_id uuid, state text, at timestamptz);
    CREATE FUNCTION note_left() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO left_queue VALUES (NEW.id, NEW.state, clock_timestamp());
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER note_left AFTER UPDATE ON job_task
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
        WHEN (OLD.state = 'enqueued' AND NEW.state <> 'enqueued')
        EXECUTE FUNCTION note_left();
"""
TOOK = """
    SELECT l.state,
           extract(epoch FROM l.at) - (a.result->>'began')::float8 AS seconds
      FROM left_queue l
      JOIN task_analysis ta ON ta.task_id = l.task_id
      JOIN analysis a ON a.id = ta.analysis_id
"""
RATE = """
    SELECT count(*) / extract(epoch FROM max(ended_at) - min(ended_at)) AS rate
      FROM job_task
"""


@pytest.fixture
def field(
    fresh_database_url: str, redis_server: RedisServer, tmp_path: Path
) -> Iterator[Field]:
    made = Field(
        fresh_database_url, redis_server.url, tmp_path / "field", settings=SHARED
    )
    try:
        made.start()
        made.replicas({"steady": SOURCE}, slots=SLOTS)
        yield made
    finally:
        made.close()


@pytest.mark.timeout(120)
def test_a_row_shows_within_a_second_that_its_analysis_runs(field: Field):
    field.rows(WATCH)

    fill_backlog(field, TASKS)
    field.wait_until_done(within=60)

    took = [row.seconds for row in field.rows(TOOK)]
    shown = sum(row.state == "executing" for row in field.rows(TOOK))
    half, most = percentile(took, 0.5), percentile(took, 0.99)
    (ended,) = field.rows(RATE)
    print(  # noqa: T201  (what was measured is the point)
        f"{len(took)} tasks, {ended.rate:.0f} a second: executing after {half:.2f} s"
        f" (p50), {most:.2f} s (p99), {max(took):.2f} s at most; {shown} shown"
    )
    assert len(took) == TASKS + 1
    assert shown / len(took) >= 0.99
    assert most <= 1.0
