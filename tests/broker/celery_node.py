"""
A plain Celery worker, as somebody outside the project would write one.

``TEST_BROKER``: where it listens; ``TEST_OUTPUT``: the file to which it appends, a JSON
document a line, what it was told to do.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from celery import Celery
from celery.worker.control import control_command

from orchestrator.contracts.names import STOP_COMMAND, is_rabbitmq, worker_queue
from orchestrator.contracts.wire import TOKEN_HEADER

BROKER_URL = os.environ["TEST_BROKER"]
OUTPUT = Path(os.environ["TEST_OUTPUT"])

app = Celery("node", broker=BROKER_URL)
app.conf.update(
    task_queues=[worker_queue("echo", rabbitmq=is_rabbitmq(BROKER_URL))],
    accept_content=["json"],
    worker_prefetch_multiplier=1,
)


def write(document: dict[str, Any]) -> None:
    with OUTPUT.open("a") as file:
        file.write(json.dumps(document) + "\n")


@app.task(name="assay.analyze.echo", bind=True)  # type: ignore[untyped-decorator]  # Celery has no types
def echo(self: Any, assignment: dict[str, Any]) -> None:
    write(
        {
            "id": self.request.id,
            "token": self.request.headers[TOKEN_HEADER],
            "assignment": assignment,
        }
    )


@control_command(name=STOP_COMMAND)  # type: ignore[untyped-decorator]  # Celery has no types
def stop(state: Any, attempts: list[str], signature: str) -> None:
    write({"stopped": attempts, "by": state.hostname, "signature": signature})
