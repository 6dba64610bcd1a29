"""
Procrastinate, to compare with: a queue in PostgreSQL, workers that do nothing, and a
client that fans out.

Runs in ``.venv/bench``, where Procrastinate is: ``procrastinate_peer.py schema`` makes
its tables, ``… worker NAME SLOTS`` is a worker, ``… client WORKERS`` reads a number of
jobs from a line, creates them, and says so. From the environment: ``PEER_DATABASE`` and
``PEER_DONE``, a file to which every task that ends adds one byte.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import procrastinate  # type: ignore[import-not-found]  # it is in .venv/bench

_DATABASE = os.environ["PEER_DATABASE"]

_done = os.open(os.environ["PEER_DONE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def app_on(connector: Any) -> Any:
    """Return the application with its one task."""
    app = procrastinate.App(connector=connector)

    # Not in a thread, of which it needs none.
    @app.task(name="noop")  # type: ignore[untyped-decorator]  # it is not installed here
    async def noop(sample: str) -> None:
        del sample
        os.write(_done, b".")

    return app


def make_schema() -> None:
    app = app_on(procrastinate.SyncPsycopgConnector(conninfo=_DATABASE))
    with app.open():
        app.schema_manager.apply_schema()


def work(name: str, slots: int) -> None:
    app = app_on(procrastinate.PsycopgConnector(conninfo=_DATABASE))
    app.run_worker(queues=[name], concurrency=slots)


def serve(workers: int) -> None:
    app = app_on(procrastinate.SyncPsycopgConnector(conninfo=_DATABASE))
    queues = [f"noop_{number}" for number in range(1, workers + 1)]
    with app.open():
        tasks = [app.configure_task("noop", queue=queue) for queue in queues]
        for line in sys.stdin:
            for _ in range(int(line)):
                for task in tasks:
                    task.defer(sample="0" * 64)
            print("done", flush=True)  # noqa: T201


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["schema"]:
            make_schema()
        case ["worker", name, slots]:
            work(name, int(slots))
        case ["client", workers]:
            serve(int(workers))
        case other:
            sys.exit(f"not understood: {' '.join(other)}")
