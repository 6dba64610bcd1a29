"""
``assay bench backlog``: what a long backlog costs the broker and the dispatcher.

Replicas work it off while it is measured, and a job of high priority comes and has to
overtake all of it.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import redis

from orchestrator.bench.processes import cpu_seconds
from orchestrator.bench.rows import Rows, add_rows
from orchestrator.bench.summary import Figures, Result
from orchestrator.bench.testbed import Testbed, wait_until
from orchestrator.client.http import Client
from orchestrator.contracts.names import REPORTS, worker_queue
from orchestrator.db.states import ENQUEUED
from orchestrator.domain.errors import AssayError
from orchestrator.messaging.topology import redis_client
from orchestrator.terminal.output import tell

_WORKERS = 8

_LOOK_SECONDS = 0.1

_FIRST_SECONDS = 60
_OVERTAKE_SECONDS = 120
_MIB = 1024 * 1024

_ENDED = "SELECT count(*) FROM job_task WHERE ended_at IS NOT NULL"
_BACKLOG = f"""
    SELECT count(*) FROM job_task WHERE state = {ENQUEUED} AND published_at IS NULL
"""
_OVERTOOK = "SELECT 1 FROM job WHERE id = %s AND ended_at IS NOT NULL"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """``tasks`` queued before the dispatcher starts; ``seconds`` of looking per run."""

    tasks: int
    seconds: int
    runs: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Broker:
    client: redis.Redis
    queues: list[str]

    def used_mib(self) -> float:
        return int(self.client.info("memory")["used_memory"]) / _MIB

    def messages(self) -> int:
        pipe = self.client.pipeline(transaction=False)
        for queue in self.queues:
            pipe.llen(queue)
        return sum(pipe.execute())


def measure(found: Testbed, plan: Plan) -> Result:
    """
    Let replicas work on a long backlog for a while.

    Raises:
        AssayError: The backlog ran out, or a job of high priority did not get through.
    """
    found.start("api", "consume", "beat", "maintain")
    workers = found.start_workers(_WORKERS, slots=1)
    broker = _Broker(
        client=redis_client(found.broker_url),
        queues=[
            REPORTS,
            *(worker_queue(worker, rabbitmq=False).name for worker in workers),
        ],
    )
    with found.client() as client:
        sample = _upload(client)
        empty = broker.used_mib()
        tell(f"queueing {plan.tasks:,} tasks")
        queued = Rows(
            tasks=plan.tasks, workers=found.worker_ids(), sample_sha256=sample
        )
        add_rows(found.sql, queued)
        found.start("dispatch")
        wait_until(
            lambda: found.count(_ENDED) > 0, what="a first task", seconds=_FIRST_SECONDS
        )
        runs = [
            {
                "broker_empty_mib": empty,
                **_run(found, broker, seconds=plan.seconds),
                "overtaking_seconds": _overtake(found, client, sample),
            }
            for _ in range(plan.runs)
        ]
    return Result(
        benchmark="backlog",
        parameters={"tasks": plan.tasks, "seconds": plan.seconds, "runs": plan.runs},
        runs=runs,
    )


def _upload(client: Client) -> str:
    with tempfile.NamedTemporaryFile(prefix="assay-bench-") as file:
        file.write(b"backlog")
        file.flush()
        return client.upload(Path(file.name))


def _run(found: Testbed, broker: _Broker, *, seconds: int) -> Figures:
    tell(f"{found.count(_BACKLOG):,} are queued; looking for {seconds} s")
    before, ended = cpu_seconds(found.pids), found.count(_ENDED)
    looks = _look(broker, seconds=seconds)
    after = cpu_seconds(found.pids)
    done = found.count(_ENDED) - ended
    left = found.count(_BACKLOG)
    if not (done and left):
        raise AssayError(
            f"{done} tasks ended and {left} are left; ask for more tasks or seconds"
        )
    return {
        "broker_peak_mib": max(used for used, _ in looks),
        "broker_peak_messages": float(max(messages for _, messages in looks)),
        "queued_tasks": float(left),
        "tasks_per_second": done / seconds,
        **{
            f"{name}_cpu_ms_per_task": (after[name] - before[name]) * 1000 / done
            for name in ("dispatch", "consume", "maintain", "postgres")
        },
    }


def _look(broker: _Broker, *, seconds: int) -> list[tuple[float, int]]:
    """Return the broker's memory, in MiB, and messages, again and again."""
    looks = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        looks.append((broker.used_mib(), broker.messages()))
        time.sleep(_LOOK_SECONDS)
    return looks


def _overtake(found: Testbed, client: Client, sample: str) -> float:
    began = time.monotonic()
    job = client.post("/job", {"sampleSha256": sample, "priority": 9})
    wait_until(
        lambda: found.sql.execute(_OVERTOOK, [job["id"]]).fetchone() is not None,
        what="a job of high priority",
        seconds=_OVERTAKE_SECONDS,
        every_seconds=0.02,
    )
    return time.monotonic() - began
