"""
Everything that writes tasks does so at once, from many processes, to the same rows.
"""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from tests.fixtures.engine import Rig

SECONDS = 20

#: Who contends, and how many of each.
CONTENDERS = ("ingest", "ingest", "tick", "tick", "command", "cancel", "beat", "beat")

_WATCH = """
CREATE TABLE counted (task_id uuid, attempt int, kind text);
CREATE FUNCTION count_ending() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL THEN
        INSERT INTO counted VALUES (NEW.id, NEW.attempt, 'ending');
    ELSIF OLD.ended_at IS NOT NULL AND NEW.attempt = OLD.attempt
          AND (NEW.state, NEW.reason, NEW.ended_at)
              IS DISTINCT FROM (OLD.state, OLD.reason, OLD.ended_at) THEN
        INSERT INTO counted VALUES (NEW.id, NEW.attempt, 'changed');
    ELSIF OLD.ended_at IS NOT NULL AND NEW.attempt <> OLD.attempt
          AND OLD.state NOT IN ('failed', 'timeout') THEN
        INSERT INTO counted VALUES (NEW.id, NEW.attempt, 'reopened');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER count_ending AFTER UPDATE ON job_task FOR EACH ROW
    EXECUTE FUNCTION count_ending();
"""
_DEADLOCKS = (
    "SELECT deadlocks AS n FROM pg_stat_database WHERE datname = current_database()"
)


@pytest.mark.timeout(120)
def test_nobody_waits_in_a_circle_and_no_end_is_made_twice(
    rig: Rig, fresh_database_url: str
):
    rig.worker("alpha", slots=64)
    submitted = 200
    for number in range(submitted):
        rig.job(f"{number}".encode())
    rig.execute(_WATCH)
    before = rig.execute(_DEADLOCKS)[0].n
    seed = random.SystemRandom().randrange(10**6)

    running = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.faults.contender", kind),
                *(fresh_database_url, str(SECONDS), str(seed + number)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, kind in enumerate(CONTENDERS)
    ]
    said = [process.communicate(timeout=SECONDS + 40) for process in running]

    rate = sum(int(out) for out, _ in said) / SECONDS
    print(f"seed {seed}: {rate:.0f} commits a second")  # noqa: T201
    assert [err for _, err in said if err] == []
    assert rig.execute(_DEADLOCKS)[0].n == before
    kinds = rig.execute("SELECT kind, count(*) AS n FROM counted GROUP BY kind")
    assert {row.kind for row in kinds} == {"ending"}
    twice = "SELECT 1 FROM counted GROUP BY task_id, attempt HAVING count(*) > 1"
    assert rig.execute(twice) == []
    ended_or_open = rig.execute("SELECT count(*) AS n FROM job_task")[0].n
    assert ended_or_open == submitted
