"""
Being told which jobs have changed, and asking where nobody tells.
"""

from __future__ import annotations

import threading
from uuid import uuid4

import pytest

from orchestrator import Assay
from orchestrator.client.http import Client
from orchestrator.client.watch import Watch
from orchestrator.domain.values import Role
from tests.fixtures.api import API
from tests.fixtures.waiting import PATIENCE_SECONDS, eventually


def _told(watch: Watch, job_id: str) -> bool:
    return job_id in (watch.wait(PATIENCE_SECONDS) or ())


def test_whoever_watches_is_told_of_those_jobs(api: API):
    jobs = [api.add_job()["id"] for _ in range(3)]
    with (
        Client(api.url, api.key(Role.VIEWER)) as client,
        Watch(client, jobs[:2]) as watch,
    ):
        # First of all of them: what changed before nobody tells.
        eventually(lambda: watch.wait(1) == dict.fromkeys(jobs[:2]))
        api.admin.put(f"/job/{jobs[2]}/cancel")
        api.admin.put(f"/job/{jobs[1]}/cancel")

        # Who was late telling that it was made tells so first.
        now = api.admin.get(f"/job/{jobs[1]}").json()["data"]
        eventually(lambda: watch.wait(1) == {jobs[1]: now})


def test_of_many_jobs_one_stream_tells(api: API):
    job = api.add_job()["id"]
    others = [str(uuid4()) for _ in range(150)]
    with (
        Client(api.url, api.key(Role.VIEWER)) as client,
        Watch(client, [job, *others]) as watch,
    ):
        eventually(lambda: _told(watch, job))
        api.admin.put(f"/job/{job}/cancel")

        assert list(watch.wait(PATIENCE_SECONDS) or ()) == [job]


def test_where_nobody_tells_a_job_is_asked_for(
    api: API, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("orchestrator.api.events.hub._LISTENERS_MAX", 0)
    job = api.add_job()["id"]
    with (
        Client(api.url, api.key(Role.VIEWER)) as client,
        Watch(client, [job]) as watch,
    ):
        assert watch.wait(0.5) is None
    cancel = threading.Timer(0.3, lambda: api.admin.put(f"/job/{job}/cancel"))
    cancel.start()

    with Assay(api.url, api.key(Role.VIEWER)) as assay:
        assert assay.job(job).wait(timeout=PATIENCE_SECONDS).is_over
    cancel.join()
