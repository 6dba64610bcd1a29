"""
Commands that wait, and an API that is restarted meanwhile.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.api.app import create_app
from tests.fixtures.api import API, serve
from tests.fixtures.commands import Assay, new_file, succeed
from tests.fixtures.waiting import PATIENCE_SECONDS, eventually


@pytest.fixture
def waiter() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


@pytest.mark.parametrize("words", [("job", "watch", "latest"), ("submit", "--wait")])
def test_an_api_that_is_away_is_asked_again_and_that_is_said(
    api: API,
    assay: Assay,
    folder: Path,
    waiter: ThreadPoolExecutor,
    words: tuple[str, ...],
):
    worker = api.add_worker()
    if words[0] == "submit":
        file, _ = new_file(folder, "sample.bin")
        words = (*words, "--worker", worker, str(file))
    else:
        api.add_job(workers=[worker])
    app = create_app(api.services)
    with serve(app) as bare:
        port = bare.base_url.port or 0
        done = waiter.submit(assay, *words, ASSAY_API_URL=str(bare.base_url))
        # It waits, and is told.
        eventually(lambda: app.state.hub._listeners)
    with socket.create_server(("127.0.0.1", port)) as away:
        away.settimeout(PATIENCE_SECONDS)
        away.accept()[0].close()
    with serve(create_app(api.services), port=port):
        (job,) = api.admin.get("/job", params={"limit": 1}).json()["data"]
        succeed(api, job, score=5)
        found = done.result(PATIENCE_SECONDS)

    assert found.returncode == 0, found.stderr
    assert found.stderr.count("; it is asked again") == 1
