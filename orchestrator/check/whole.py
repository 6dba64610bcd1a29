"""
The last rule: a job of a whole stack, in which the program is the only worker.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.catalog.workers import broker_accounts, ensure_enrolled
from orchestrator.check.program import Program
from orchestrator.check.scene import BrokenRuleError
from orchestrator.client.http import Client
from orchestrator.config import console_actor
from orchestrator.contracts.data_dir import read_lines
from orchestrator.contracts.token import KeyRing
from orchestrator.db.unit_of_work import Database
from orchestrator.embedded.places import remove
from orchestrator.embedded.stack import Stack, StackInfo
from orchestrator.messaging.policy import account_url, apply_to_redis

_PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.1

#: What a job may end in that such a worker does not look at.
_WELL = ("success", "unsupported")


def do_a_job(command: Sequence[str], *, worker: str, sample: bytes, log: Path) -> None:
    """
    Start a stack and the program beside it, and submit a sample.

    Raises:
        BrokenRuleError: Its task did not end in success, nor as unsupported.
        ConfigurationError: The stack did not start.
    """
    with tempfile.TemporaryDirectory(prefix="assay-check-") as folder:
        stack = Stack(
            Path(folder) / "data",
            workers=(),
            # By HTTP, as on a machine of its own.
            extra_env={"ASSAY_SAMPLES_SHARED": "0"},
        )
        program = None
        try:
            info = stack.start(on_progress=lambda _: None)
            program = Program(command, _enrol(info, worker), log)
            program.start()
            with Client(info.api_url, info.api_key) as client:
                _follow(client, program, Path(folder), worker=worker, sample=sample)
        finally:
            if program is not None:
                program.kill()
            stack.stop()
            remove(stack.places)


def _enrol(info: StackInfo, worker: str) -> dict[str, str]:
    told = read_lines(info.env_file)
    keys = KeyRing.parse(told["ASSAY_SECRET_KEY"])
    database = Database(info.database_url)
    with database.uow() as tx:
        secret = ensure_enrolled(tx, worker, keys=keys, actor=console_actor())
        (account,) = broker_accounts(tx, keys=keys)
    database.close()
    apply_to_redis(info.broker_url, [account])
    return {
        "ASSAY_BROKER_URL": account_url(info.broker_url, account),
        "ASSAY_API_URL": info.api_url,
        "ASSAY_WORKER_NAME": worker,
        "ASSAY_WORKER_SECRET": secret,
    }


def _follow(
    client: Client, program: Program, folder: Path, *, worker: str, sample: bytes
) -> None:
    file = folder / "sample"
    file.write_bytes(sample)
    order = {"sampleSha256": client.upload(file), "workers": [worker]}
    job = client.post("/job", order)["id"]
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while client.get(f"/job/{job}")["state"] not in {"done", "timeout"}:
        if not program.is_running:
            raise BrokenRuleError(f"the program ended with {program.exit_code}")
        if time.monotonic() > deadline:
            raise BrokenRuleError(
                f"its job was not over after {_PATIENCE_SECONDS:.0f} s"
            )
        time.sleep(_LOOK_SECONDS)
    (task,) = client.get(f"/job/{job}/tasks")
    if task["state"] not in _WELL and task["reason"] not in _WELL:
        raise BrokenRuleError(_words(task))


def _words(task: dict[str, Any]) -> str:
    return f"its task ended as {task['state']} ({task['reason']}): {task['message']}"
