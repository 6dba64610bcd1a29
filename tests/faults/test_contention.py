"""
Everything that writes tasks does so at once, from many processes, to the same rows.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from datetime import datetime, timedelta

import pytest

from tests.faults.contender import SPEAKERS, WORKERS
from tests.fixtures.engine import Rig
from tests.fixtures.rounds import IS_LONG

SECONDS = 60 if IS_LONG else 15

#: Seconds after its clock and the watermark in which every expiry is applied, which is
#: four ticks. On a machine so busy that it has no time for them, it is four ticks.
PROMPT = timedelta(seconds=2)
TICKS = 4

_NO_TIME = timedelta(0)

#: Who contends, and how many of each.
CONTENDERS = {
    "submit": 1,
    "ingest": 3,
    "heartbeat": SPEAKERS,
    "tick": 2,
    "retry": 1,
    "cancel": 1,
}

#: Every ending, and every change of a row that had ended; ``late`` may become true.
_WATCH = """
CREATE TABLE ticked (number int, begun_at timestamptz, ended_at timestamptz);
CREATE TABLE counted (task_id uuid, attempt int, kind text);
CREATE FUNCTION count_ending() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL THEN
        INSERT INTO counted VALUES (NEW.id, NEW.attempt, 'ending');
    ELSIF OLD.ended_at IS NOT NULL AND NEW.ended_at IS NULL
          AND NEW.attempt = OLD.attempt + 1 AND OLD.state IN ('failed', 'timeout') THEN
        INSERT INTO counted VALUES (NEW.id, NEW.attempt, 'retry');
    ELSIF OLD.ended_at IS NOT NULL
          AND (to_jsonb(NEW) - 'late' <> to_jsonb(OLD) - 'late'
               OR OLD.late AND NOT NEW.late) THEN
        INSERT INTO counted VALUES (NEW.id, NEW.attempt, 'change of an end');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER count_ending AFTER UPDATE ON job_task FOR EACH ROW
    EXECUTE FUNCTION count_ending();
"""
_DATABASE = """
    SELECT deadlocks, xact_commit AS commits,
           pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS writes
      FROM pg_stat_database WHERE datname = current_database()
"""
#: What is open though its clock ran out, by as much of time as has been read.
_OVERDUE = """
    SELECT t.id, t.attempt, t.due_at FROM job_task t, stream s
     WHERE t.ended_at IS NULL AND t.due_at <= s.watermark_at
       AND (t.published_at IS NULL OR s.watermark_at > s.gap_ended_at + (t.due_at
            - CASE t.state WHEN 'executing' THEN t.started_at ELSE t.queued_at END))
     UNION ALL
    SELECT j.id, 0, j.due_at FROM job j, stream s
     WHERE j.ended_at IS NULL AND j.due_at <= s.watermark_at
"""
_ENDED_TWICE = """
    SELECT 1 FROM counted WHERE kind = 'ending'
     GROUP BY task_id, attempt HAVING count(*) > 1
"""
_ENDED_UNCOUNTED = """
    SELECT 1 FROM job_task t WHERE t.ended_at IS NOT NULL AND NOT EXISTS (
           SELECT 1 FROM counted c WHERE c.kind = 'ending' AND c.task_id = t.id
              AND c.attempt = t.attempt)
"""
_JOBS_UNLIKE_TASKS = """
    SELECT 1 FROM job j WHERE (j.ended_at IS NULL) <> EXISTS (
           SELECT 1 FROM job_task t WHERE t.job_id = j.id AND t.ended_at IS NULL)
"""


class Overdue:
    """What is found open past its clock, from which look until which."""

    def __init__(self, rig: Rig) -> None:
        self.looks = 0
        self._rig = rig
        self._since: dict[tuple[object, ...], datetime] = {}
        self._spells: set[tuple[datetime, datetime]] = set()

    @property
    def longest(self) -> timedelta:
        """How long it was open at most, however seldom a tick came."""
        return max((until - since for since, until in self._spells), default=_NO_TIME)

    def look(self) -> None:
        found = self._rig.execute(_OVERDUE)
        now = self._rig.now()
        self._since = {tuple(row): self._since.get(tuple(row), now) for row in found}
        self._spells |= {(since, now) for since in self._since.values()}
        self.looks += 1

    def late(self) -> list[timedelta]:
        """Return how long what was overlooked was open: by every maintainer."""
        return [
            until - since
            for since, until in self._spells
            if until - since > PROMPT and self._ticks(since, until) >= TICKS
        ]

    def _ticks(self, since: datetime, until: datetime) -> int:
        found = self._rig.execute(
            "SELECT count(t.number) AS n FROM generate_series(0, :last) AS m(number)"
            " LEFT JOIN ticked t ON t.number = m.number AND t.begun_at > :since"
            " AND t.ended_at < :until GROUP BY m.number",
            last=CONTENDERS["tick"] - 1,
            since=since,
            until=until,
        )
        return min(int(row.n) for row in found)


def contend(rig: Rig, seed: int) -> tuple[int, list[str], Overdue]:
    """Let everybody; return how much was submitted, what went wrong, what was late."""
    kinds = [(kind, n) for kind, count in CONTENDERS.items() for n in range(count)]
    running = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.faults.contender", kind, str(number)),
                *(rig.database.url, str(SECONDS), str(seed + place)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for place, (kind, number) in enumerate(kinds)
    ]
    overdue = Overdue(rig)
    while all(process.poll() is None for process in running):
        overdue.look()
        time.sleep(0.1)
    said = [process.communicate(timeout=SECONDS) for process in running]
    submitted = sum(int(out or 0) for out, _ in said)
    return submitted, [err for _, err in said if err], overdue


@pytest.mark.alone
@pytest.mark.timeout(180)
def test_nobody_waits_in_a_circle_and_no_end_is_made_twice(rig: Rig):
    for name in WORKERS:
        rig.worker(name, slots=64)
    first = [rig.job(f"first {number}".encode()) for number in range(60)]
    rig.execute(_WATCH)
    (before,) = rig.execute(_DATABASE)
    seed = random.SystemRandom().randrange(10**6)

    submitted, errors, overdue = contend(rig, seed)

    (after,) = rig.execute(_DATABASE)
    counted = _counts(rig, "SELECT kind AS name, count(*) AS n FROM counted GROUP BY 1")
    longest = overdue.longest.total_seconds()
    states = _counts(
        rig, "SELECT state AS name, count(*) AS n FROM job_task GROUP BY 1"
    )
    print(  # noqa: T201  (the seed is what repeats a failure)
        f"seed {seed}: {(after.commits - before.commits) / SECONDS:.0f} commits a"
        f" second, {(after.writes - before.writes) / SECONDS:.0f} of them wrote;"
        f" {counted}; {states}; open past a clock for {longest:.1f} s at most"
    )
    assert errors == []
    assert after.deadlocks == before.deadlocks
    assert sum(states.values()) == (len(first) + submitted) * len(WORKERS)
    # All of it happened, and nothing else.
    assert counted.keys() == {"ending", "retry"}
    assert states.keys() >= {"success", "failed", "timeout", "cancelled"}
    assert rig.execute(_ENDED_TWICE) == []
    assert rig.execute(_ENDED_UNCOUNTED) == []
    assert rig.execute(_JOBS_UNLIKE_TASKS) == []
    assert overdue.looks > SECONDS
    assert overdue.late() == []


def _counts(rig: Rig, sql: str) -> dict[str, int]:
    return {row.name: row.n for row in rig.execute(sql)}
