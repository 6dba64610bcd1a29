"""
``python -m tests.faults.contender KIND NUMBER DATABASE_URL SECONDS SEED``: does one
kind of thing to the newest tasks, as fast as it can, and says how many jobs it made.

NUMBER tells apart those of one kind: each speaks for replicas of its own.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.exc import OperationalError

from orchestrator.db.unit_of_work import Database
from orchestrator.domain.errors import ConflictError
from orchestrator.domain.limits import Limits
from orchestrator.domain.values import Actor
from orchestrator.flow.cancel import cancel_job, cancel_task
from orchestrator.flow.ports import Engine
from orchestrator.flow.retry import retry_job
from orchestrator.messaging.codec import RawMessage
from tests.fixtures.engine import KEYS, Rig, TaskRow

WORKERS = ("alpha", "beta", "gamma")

#: How many of each kind that speaks for replicas.
SPEAKERS = 2

#: So short that every clock runs out, again and again.
LIMITS = Limits(
    lease_seconds=3.0,
    run_seconds=1.0,
    run_grace_seconds=0.5,
    queue_wait_seconds=2.0,
    job_seconds=15.0,
)

#: Everybody meets at these: the newest jobs, and many of them of one sample.
_JOBS = 60
_JOBS_OF_A_SAMPLE = 8

#: Seconds. So old may be what is known of them: much is reported late or twice.
_STALENESS = 0.2
#: Seconds from one heartbeat of a replica to the next.
_HEARTBEAT = 0.3

#: Most analyses begin, end well, or go on failing until their budget is used up.
_REPORTS = {"executing": 5, "success": 2, "failed": 4, "timed_out": 1, "released": 1}
_FAILURES = {"error": 8, "crashed": 1, "out_of_memory": 1}
_ACTOR = Actor("contender")


class Known(NamedTuple):
    """A task as it was a moment ago."""

    job_id: UUID
    task: TaskRow


class Contender:
    def __init__(self, number: int, database_url: str, dice: random.Random) -> None:
        self.number = number
        self.rig = Rig.attach(Database(database_url))
        self.rig.engine = Engine(limits=LIMITS, keys=KEYS)
        self.rig.secrets = {name: KEYS.enrolment_secret(name, 1) for name in WORKERS}
        (self.rig.user,) = self.rig.execute(
            "SELECT id, customer_id FROM api_user WHERE name = 'tester'"
        )
        self.dice = dice
        self.submitted = 0
        self._known: list[Known] = []
        self._known_at = 0.0
        self._heartbeat_at = dict.fromkeys(WORKERS, 0.0)

    # The kinds.

    def submit(self) -> None:
        content = f"{self.number} {self.submitted // _JOBS_OF_A_SAMPLE}"
        self.rig.job(content.encode())
        self.submitted += 1
        # As many as the others end: the newest are open ones.
        time.sleep(0.03)

    def ingest(self) -> None:
        some = self._some(self.dice.randint(1, 6))
        self.rig.ingest(*(self._report(known.task) for known in some))

    def heartbeat(self) -> None:
        for worker in WORKERS:
            if time.monotonic() > self._heartbeat_at[worker] + _HEARTBEAT:
                self._heartbeat_at[worker] = time.monotonic()
                self._heartbeat(worker)
        self.rig.dispatch()

    def tick(self) -> None:
        begun_at = self.rig.now()
        self.rig.canary()
        self.rig.expire()
        self.rig.recover()
        self.rig.execute(
            "INSERT INTO ticked VALUES (:n, :begun_at, clock_timestamp())",
            n=self.number,
            begun_at=begun_at,
        )

    def retry(self) -> None:
        (known,) = self._some(1)
        with self.rig.database.uow() as tx:
            retry_job(tx, known.job_id, engine=self.rig.engine, actor=_ACTOR)

    def cancel(self) -> None:
        (known,) = self._some(1)
        with self.rig.database.uow() as tx:
            if self.dice.random() < 0.5:
                cancel_job(tx, known.job_id, engine=self.rig.engine, actor=_ACTOR)
            else:
                cancel_task(tx, known.task.id, engine=self.rig.engine, actor=_ACTOR)
        # All would soon be cancelled.
        time.sleep(0.05)

    # What they do it to.

    def _some(self, count: int) -> list[Known]:
        if time.monotonic() > self._known_at + _STALENESS:
            self._known_at = time.monotonic()
            self._known = self._look()
        return self.dice.sample(self._known, count)

    def _look(self) -> list[Known]:
        rows = self.rig.execute(
            "SELECT t.job_id, t.id, w.short_name AS worker, t.state, t.reason,"
            " t.attempt, t.losses, t.holder, t.message, t.late, t.published_at,"
            " t.not_before FROM job_task t JOIN worker w ON w.id = t.worker_id"
            " WHERE job_id IN (SELECT id FROM job ORDER BY enqueued_at DESC LIMIT :n)",
            n=_JOBS,
        )
        fields = [dict(row._mapping) for row in rows]
        return [Known(row.pop("job_id"), TaskRow(**row)) for row in fields]

    def _report(self, task: TaskRow) -> RawMessage:
        kind = self._one_of(_REPORTS)
        stranger = f"{task.worker}-{self.dice.randrange(SPEAKERS)}@host"
        heard = task.holder if self.dice.random() < 0.8 else None
        fields = {"replica": heard or stranger}
        if kind == "failed":
            fields["reason"] = self._one_of(_FAILURES)
        return self.rig.report(task, kind, **fields)

    def _one_of(self, weights: dict[str, int]) -> str:
        return self.dice.choices(list(weights), list(weights.values()))[0]

    def _heartbeat(self, worker: str) -> None:
        replica = f"{worker}-{self.number}@host"
        holds = [
            (known.task.id, known.task.attempt)
            for known in self._some(len(self._known))
            if known.task.holder == replica and self.dice.random() < 0.9
        ]
        self.rig.heartbeat(replica, *holds)


def main() -> None:
    kind, number, url, seconds, seed = sys.argv[1:]
    contender = Contender(int(number), url, random.Random(int(seed)))
    act: Callable[[], None] = getattr(contender, kind)
    deadline = time.monotonic() + float(seconds)
    while time.monotonic() < deadline:
        try:
            act()
        except ConflictError:
            continue
        except OperationalError as error:
            # A deadlock would be one of these; the database counts them itself.
            print(kind, error.orig, file=sys.stderr)  # noqa: T201
    print(contender.submitted)  # noqa: T201


if __name__ == "__main__":
    main()
