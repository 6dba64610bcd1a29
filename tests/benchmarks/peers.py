"""
The others, set up as Assay is: as many workers, as many slots, the same Redis and
PostgreSQL, four clients, an analysis that looks at nothing.

Each is left as it comes. What they do not do, such as a sandbox, a heartbeat or a row
per task, they are not made to do.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import redis

from orchestrator.bench.fanout import Plan
from orchestrator.bench.testbed import Testbed, wait_until
from orchestrator.db.unit_of_work import driver_url
from orchestrator.embedded.ports import free_port
from tests.benchmarks.bench_python import bench_python

_HERE = Path(__file__).parent
_READY_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Started:
    """
    How to start a client of something that runs.

    ``answers``: whether a client says it is done when the results are there; else the
    file of ended tasks tells.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    done: Path
    answers: bool


Start = Callable[[Testbed, Plan], Started]


def start_celery(found: Testbed, plan: Plan) -> Started:
    """Celery that keeps no state: tasks go out and nobody hears of them again."""
    return _celery(found, plan, backend=None)


def start_redis_group(found: Testbed, plan: Plan) -> Started:
    """A ``group`` for each job, whose results are kept in Redis."""
    return _celery(found, plan, backend=found.broker_url)


def start_postgres_group(found: Testbed, plan: Plan) -> Started:
    """A ``group`` for each job, whose results are kept in PostgreSQL."""
    return _celery(found, plan, backend=f"db+{found.database.url}")


def start_karton(found: Testbed, plan: Plan) -> Started:
    """Karton's router and consumers. Its object store is there; nothing is put in."""
    python = str(bench_python())
    store = f"http://127.0.0.1:{free_port()}"
    port = store.rpartition(":")[2]
    environment = {
        "KARTON_REDIS_URL": found.broker_url,
        "KARTON_REDIS_HOST": "",
        "KARTON_S3_ADDRESS": store,
        "KARTON_S3_ACCESS_KEY": "bench",
        "KARTON_S3_SECRET_KEY": "bench",
        "KARTON_S3_BUCKET": "karton",
        "PEER_DONE": str(found.folder / "karton.done"),
    }
    found.run("moto", [python, "-m", "moto.server", "-p", port], environment)
    wait_until(lambda: _answers(store), what="moto", seconds=_READY_SECONDS)
    router = [python, "-m", "karton.system", "--setup-bucket"]
    found.run("router", router, environment)
    script = str(_HERE / "karton_peer.py")
    for number in range(1, plan.workers * plan.slots + 1):
        # A consumer has one slot; more of a name share its queue.
        name = f"noop_{(number - 1) % plan.workers + 1}"
        command = [python, script, "consumer", name]
        found.run(f"worker {number}", command, environment)
    broker = redis.Redis.from_url(found.broker_url)
    wait_until(
        lambda: broker.hlen("karton.binds") >= plan.workers,
        what="Karton's consumers",
        seconds=_READY_SECONDS,
    )
    return Started(
        command=[python, script, "client"],
        environment=environment,
        done=Path(environment["PEER_DONE"]),
        answers=False,
    )


def start_procrastinate(found: Testbed, plan: Plan) -> Started:
    """Procrastinate: tasks are rows of PostgreSQL, and stay; no broker."""
    command = [str(bench_python()), str(_HERE / "procrastinate_peer.py")]
    done = found.folder / "procrastinate.done"
    environment = {
        "PEER_DATABASE": driver_url(found.database.url),
        "PEER_DONE": str(done),
    }
    schema = found.run("schema", [*command, "schema"], environment)
    assert schema.wait(timeout=_READY_SECONDS) == 0, "no schema"
    found.stop("schema")
    for number in range(1, plan.workers + 1):
        name = f"noop_{number}"
        words = [*command, "worker", name, str(plan.slots)]
        found.run(f"worker {name}", words, environment)
    return Started(
        command=[*command, "client", str(plan.workers)],
        environment=environment,
        done=done,
        answers=False,
    )


PEERS: Mapping[str, Start] = {
    "celery": start_celery,
    "karton": start_karton,
    "celery_group_redis": start_redis_group,
    "celery_group_postgres": start_postgres_group,
    "procrastinate": start_procrastinate,
}


def _celery(found: Testbed, plan: Plan, *, backend: str | None) -> Started:
    done = found.folder / "celery.done"
    environment = {"PEER_BROKER": found.broker_url, "PEER_DONE": str(done)}
    if backend is not None:
        environment["PEER_BACKEND"] = backend
    module = "tests.benchmarks.celery_peer"
    for number in range(1, plan.workers + 1):
        name = f"noop_{number}"
        command = [
            *(sys.executable, "-m", "celery", "-A", module, "worker"),
            *("-Q", name, "-n", f"{name}@bench", "-c", str(plan.slots)),
            *("--loglevel", "WARNING"),
        ]
        found.run(f"worker {name}", command, environment)
    return Started(
        command=[sys.executable, "-m", module, str(plan.workers)],
        environment=environment,
        done=done,
        answers=backend is not None,
    )


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, timeout=2).status_code < 500
    return False


class Client:
    """A client process: told how many jobs to create, it says when it has."""

    def __init__(self, found: Testbed, started: Started, number: int) -> None:
        self._process = found.run(
            f"client {number}", started.command, started.environment, talks=True
        )

    def ask(self, jobs: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{jobs}\n".encode())
        self._process.stdin.flush()

    def wait(self) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line == b"done\n", "a client ended before its jobs did"
