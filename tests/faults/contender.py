"""
``python -m tests.faults.contender KIND DATABASE_URL SECONDS SEED``: does one kind of
thing to random tasks, as fast as it can, and says how many transactions it committed.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from uuid import UUID

from sqlalchemy.exc import OperationalError

from orchestrator.db.unit_of_work import Database
from orchestrator.domain.errors import ConflictError
from orchestrator.domain.values import Actor
from orchestrator.flow.cancel import cancel_job, cancel_task
from orchestrator.flow.retry import retry_job
from tests.fixtures.engine import KEYS, Rig

REPORTS = ("executing", "success", "failed", "timed_out", "released")


class Contender:
    def __init__(self, database_url: str, dice: random.Random) -> None:
        self.rig = Rig.attach(Database(database_url))
        self.rig.secrets["alpha"] = KEYS.enrolment_secret("alpha", 1)
        self.dice = dice
        self.jobs: list[UUID] = [
            row.id for row in self.rig.execute("SELECT id FROM job ORDER BY id")
        ]
        self.commits = 0

    def ingest(self) -> None:
        jobs = self.dice.sample(self.jobs, 8)
        messages = []
        for job in jobs:
            for task in self.rig.tasks(job).values():
                kind = self.dice.choice(REPORTS)
                fields = {"reason": "crashed"} if kind == "failed" else {}
                replica = f"alpha-{self.dice.randrange(3)}@host"
                messages.append(self.rig.report(task, kind, replica=replica, **fields))
        self.commits += len(jobs) + 1
        self.rig.ingest(*messages)

    def tick(self) -> None:
        self.commits += 5
        self.rig.canary()
        self.rig.expire()
        self.rig.recover()

    def command(self) -> None:
        job = self.dice.choice(self.jobs)
        self.commits += 1
        with self.rig.database.uow() as tx:
            if self.dice.random() < 0.3:
                cancel_job(tx, job, engine=self.rig.engine, actor=Actor("contender"))
            else:
                retry_job(tx, job, engine=self.rig.engine, actor=Actor("contender"))

    def cancel(self) -> None:
        task = self.dice.choice(
            list(self.rig.tasks(self.dice.choice(self.jobs)).values())
        )
        self.commits += 2
        with self.rig.database.uow() as tx:
            cancel_task(tx, task.id, engine=self.rig.engine, actor=Actor("contender"))

    def beat(self) -> None:
        job = self.dice.choice(self.jobs)
        holds = [(task.id, task.attempt) for task in self.rig.tasks(job).values()]
        self.commits += 3
        self.rig.beat(f"alpha-{self.dice.randrange(3)}@host", *holds)
        self.rig.dispatch()


def main() -> None:
    kind, url, seconds, seed = sys.argv[1:]
    contender = Contender(url, random.Random(int(seed)))
    act: Callable[[], None] = getattr(contender, kind)
    deadline = time.monotonic() + float(seconds)
    while time.monotonic() < deadline:
        try:
            act()
        except ConflictError:
            continue
        except OperationalError as error:
            # A deadlock would be one of these; the database counts them itself.
            print(type(error.orig).__name__, file=sys.stderr)  # noqa: T201
    print(contender.commits)  # noqa: T201


if __name__ == "__main__":
    main()
