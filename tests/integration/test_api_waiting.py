"""
What an open task waits for, in a sentence.
"""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from tests.fixtures.api import API


def _waiting(api: API, job: dict[str, Any]) -> list[dict[str, Any]]:
    answer = api.admin.get(f"/job/{job['id']}/explain")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]["waiting"]
    return found


def _replica(api: API, worker: str, *, aside: str | None = None) -> None:
    api.run(
        "INSERT INTO replica (id, worker_id, version, slots, sequence, seen_at,"
        " created_at, aside, aside_at) SELECT :id, id, '1', 1, 1, now(), now(),"
        " CAST(:aside AS text), CASE WHEN CAST(:aside AS text) IS NULL THEN NULL"
        " ELSE now() END FROM worker WHERE short_name = :worker",
        id=f"{worker}@{secrets.token_hex(4)}",
        worker=worker,
        aside=aside,
    )


def _task(api: API, job: dict[str, Any], change: str) -> None:
    api.run(f"UPDATE job_task SET {change} WHERE job_id = :job", job=job["id"])  # noqa: S608


def test_where_nobody_is_home_the_clock_is_named(api: API):
    job = api.add_job()

    (waiting,) = _waiting(api, job)

    assert waiting["because"] == "no_replica"
    assert waiting["detail"].startswith("no replica alive, ends in ")
    assert waiting["untilTimestamp"] > job["enqueuedTimestamp"]


def test_the_turn_counts_the_submitters_own_tasks_before_it(api: API):
    worker, sha256 = api.add_worker(), api.upload()
    _replica(api, worker)
    jobs = [api.add_job(sha256, workers=[worker]) for _ in range(3)]

    (first,), (third,) = _waiting(api, jobs[0]), _waiting(api, jobs[2])

    assert (first["because"], first["before"]) == ("turn", 0)
    assert first["detail"] == "your turn: next"
    assert (third["before"], third["detail"]) == (2, "your turn: 2 before it")


@pytest.mark.parametrize(
    ("change", "because", "detail"),
    [
        ("published_at = now()", "delivered", "delivered, waits for a free slot"),
        (
            "attempt = 3, not_before = now() + interval '90 seconds'",
            "back_off",
            "3rd attempt in ",
        ),
        (
            (
                "state = 'executing', published_at = now(), holder = 'r@h', started_at"
                " = now() - interval '5 s', due_at = now() + interval '90 s'"
            ),
            "running",
            "running for ",
        ),
    ],
)
def test_what_goes_on_is_said(api: API, change: str, because: str, detail: str):
    worker = api.add_worker()
    _replica(api, worker)
    job = api.add_job(workers=[worker])
    _task(api, job, change)

    (waiting,) = _waiting(api, job)

    assert waiting["because"] == because
    assert waiting["detail"].startswith(detail)


def test_a_paused_worker_and_one_that_stands_aside_are_told_apart(api: API):
    paused, aside = api.add_worker(), api.add_worker()
    _replica(api, paused)
    _replica(api, aside, aside="the scratch is full; make room")
    api.admin.put(f"/worker/{paused}/pause")

    (first,) = _waiting(api, api.add_job(workers=[paused]))
    (second,) = _waiting(api, api.add_job(workers=[aside]))

    assert first["because"] == "paused"
    assert second["because"] == "aside"
    assert "the scratch is full" in second["detail"]


def test_where_every_replica_drains_it_is_said(api: API):
    worker = api.add_worker()
    _replica(api, worker)
    api.run(
        "UPDATE replica SET draining_at = now() WHERE id LIKE :worker || '@%'",
        worker=worker,
    )

    (waiting,) = _waiting(api, api.add_job(workers=[worker]))

    assert waiting["because"] == "no_replica"
    assert waiting["detail"].startswith("every replica drains, ends in ")


def test_a_job_that_is_over_waits_for_nothing(api: API):
    job = api.add_job()
    api.admin.put(f"/job/{job['id']}/cancel")

    assert _waiting(api, job) == []
