"""
What ``docker-compose.yml`` starts, started: each with the environment it has there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from orchestrator.client.submit import submit_files
from tests.fixtures.containers import Composed, composed
from tests.fixtures.field import eventually


def test_what_a_service_is_told_is_all_that_it_needs(
    fresh_database_url: str, tmp_path: Path
):
    sample = tmp_path / "sample.txt"
    sample.write_text("look at http://example.com/")

    with composed(tmp_path, database_url=fresh_database_url) as stack:
        stack.start("worker-strings", "worker-yara")
        tasks = _analyse(stack, sample)
        password = (stack.secrets / "flower_password").read_text()
        for user, status in (("admin", 200), ("guest", 401)):
            answer = httpx.get(f"{stack.flower_url}/api/workers", auth=(user, password))
            assert answer.status_code == status

    assert [task["state"] for task in tasks] == ["success", "success"]
    assert {member.starts for member in stack.keeper.members.values()} == {1}


def _analyse(stack: Composed, sample: Path) -> list[dict[str, Any]]:
    with stack.client() as client:
        (job,) = submit_files(client, [sample])
        path = f"/job/{job['id']}"
        eventually(lambda: client.get(path)["state"] == "done", within=60)
        tasks: list[dict[str, Any]] = client.get(f"{path}/tasks")
        return tasks
