"""
What runs in a stack: each program's command, and how long it may take to stop.

Which of them run, and what they are told, is the stack's.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from orchestrator.embedded import postgres
from orchestrator.embedded.places import Places
from orchestrator.embedded.supervisor import Program

#: Seconds; the groups stop one after another.
_WORKER_STOP_SECONDS = 3
_ENGINE_STOP_SECONDS = 3
_STORE_STOP_SECONDS = 2

#: How long a stopping replica lets its analyses go on; less than its time to stop.
_GRACE_SECONDS = "2"


def stores(
    places: Places, *, database: Sequence[str], broker: Sequence[str]
) -> list[Program]:
    """Return PostgreSQL and Redis, each to be run as its user."""
    return [
        Program(
            name="postgres",
            group="stores",
            command=database,
            # It ends sessions instead of waiting for them.
            stop_signal="INT",
            stop_seconds=_STORE_STOP_SECONDS,
            user=places.user,
            death_signal=postgres.DEATH_SIGNAL,
        ),
        Program(
            name="redis",
            group="stores",
            command=broker,
            stop_seconds=_STORE_STOP_SECONDS,
            user=places.broker_user,
        ),
    ]


def process(name: str, environment: Mapping[str, str]) -> Program:
    """Return a process of the engine, by the name of its command."""
    return Program(
        name=name,
        group="engine",
        command=[sys.executable, "-m", "orchestrator", name],
        environment=environment,
        stop_seconds=_ENGINE_STOP_SECONDS,
    )


def replica(
    worker: str, environment: Mapping[str, str], *, slots: int | None
) -> Program:
    """Return a replica; ``None`` leaves it to it how many slots it has."""
    given = [] if slots is None else ["--slots", str(slots)]
    return Program(
        name=f"worker-{worker}",
        group="workers",
        command=[sys.executable, "-m", "workers", "run", worker, *given],
        environment={**environment, "ASSAY_STOP_GRACE_SECONDS": _GRACE_SECONDS},
        stop_seconds=_WORKER_STOP_SECONDS,
    )
