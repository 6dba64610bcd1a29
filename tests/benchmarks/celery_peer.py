"""
Plain Celery, to compare with: a task that does nothing, and a client that fans out.

``celery -A tests.benchmarks.celery_peer worker -Q noop_1`` is one of the workers;
``python -m tests.benchmarks.celery_peer WORKERS`` is a client, which reads a number of
jobs from a line, creates them, waits for their results if there is a backend, and says
so. From the environment: ``PEER_BROKER``, ``PEER_BACKEND`` (or nothing) and
``PEER_DONE``, a file to which every task that ends adds one byte.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from celery import Celery, group

_BACKEND = os.environ.get("PEER_BACKEND")

#: Seconds for a job's results; nobody is that slow.
_PATIENCE = 300

app = Celery("peer", broker=os.environ.get("PEER_BROKER"), backend=_BACKEND)
app.conf.update(
    task_ignore_result=_BACKEND is None,
    broker_connection_retry_on_startup=True,
)

_done = os.open(
    os.environ.get("PEER_DONE", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT
)


@app.task(name="noop")  # type: ignore[untyped-decorator]  # Celery has no types
def noop(sample: str) -> int:
    os.write(_done, b".")
    return -1


def create(workers: int) -> Any:
    """Create one job; return its results, ``None`` where nobody keeps any."""
    queues = [f"noop_{number}" for number in range(1, workers + 1)]
    tasks = [noop.s("0" * 64).set(queue=queue) for queue in queues]
    if _BACKEND is not None:
        return group(tasks).apply_async()
    for task in tasks:
        task.apply_async()
    return None


def serve(workers: int) -> None:
    for line in sys.stdin:
        job_results = [create(workers) for _ in range(int(line))]
        for results in job_results:
            if results is not None:
                results.get(timeout=_PATIENCE)
        print("done", flush=True)  # noqa: T201


if __name__ == "__main__":
    serve(int(sys.argv[1]))
