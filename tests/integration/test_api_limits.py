"""
How much one user may ask for.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest

from orchestrator.api.app import create_app
from orchestrator.api.deps import Services
from orchestrator.catalog.keys import KeyOrder, create_key
from orchestrator.domain.values import Actor, Role
from tests.fixtures.api import API, PREFIX, first_message, serve

OPEN_TASKS = 5
UPLOADS = 7


@pytest.fixture
def limited(api: API) -> Iterator[httpx.Client]:
    """A client of a new user, of an API with limits on the same database."""
    engine = api.services.engine
    limits = replace(
        engine.limits, open_tasks_per_user=OPEN_TASKS, uploads_per_minute=UPLOADS
    )
    services = Services(
        database=api.services.database,
        store=api.services.store,
        engine=replace(engine, limits=limits),
    )
    order = KeyOrder(user_name=f"u{secrets.token_hex(4)}", role=Role.USER)
    with services.database.uow() as tx:
        key = create_key(tx, order, actor=Actor("test")).secret
    with (
        serve(create_app(services)) as bare,
        httpx.Client(
            base_url=f"{str(bare.base_url).rstrip('/')}{PREFIX}",
            headers={"Argus-API-Key": key},
        ) as client,
    ):
        yield client


def _order(api: API, workers: int) -> dict[str, object]:
    names = [api.add_worker() for _ in range(workers)]
    return {"sampleSha256": api.upload(), "workers": names}


def test_a_job_beyond_the_open_tasks_is_refused_whole(api: API, limited: httpx.Client):
    first, second = _order(api, 3), _order(api, 3)
    created = limited.post("/job", json=first).json()["data"]
    before = api.counts()

    refused = limited.post("/job", json=second)

    assert refused.status_code == refused.json()["responseCode"] == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert "open tasks" in first_message(refused)["message"]
    assert api.counts() == before
    limited.put(f"/job/{created['id']}/cancel")
    assert limited.post("/job", json=second).status_code == 201


def test_of_many_orders_those_are_placed_for_which_there_is_room(
    api: API, limited: httpx.Client
):
    orders = [_order(api, 2), _order(api, 4), _order(api, 2), _order(api, 1)]

    answer = limited.post("/job/bulk", json={"orders": orders})

    results = answer.json()["data"]
    assert [result["code"] for result in results] == [
        None,
        "limit_exceeded",
        None,
        None,
    ]
    assert limited.post("/job", json=_order(api, 1)).status_code == 429


def test_at_once_no_more_get_through(api: API, limited: httpx.Client):
    orders = [_order(api, 2) for _ in range(8)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda order: limited.post("/job", json=order), orders))

    assert sorted(answer.status_code for answer in answers) == [201] * 2 + [429] * 6


def test_a_retry_beyond_the_open_tasks_is_refused(api: API, limited: httpx.Client):
    ended = limited.post("/job", json=_order(api, 3)).json()["data"]["id"]
    api.run(
        "UPDATE job_task SET state = 'failed', reason = 'error', ended_at = now(),"
        " due_at = NULL WHERE job_id = :job",
        job=ended,
    )
    running = limited.post("/job", json=_order(api, 3)).json()["data"]["id"]

    refused = limited.put(f"/job/{ended}/retry")

    assert refused.status_code == 429
    assert {task["state"] for task in api.tasks(ended)} == {"failed"}
    limited.put(f"/job/{running}/cancel")
    assert limited.put(f"/job/{ended}/retry").status_code == 200


def test_the_same_order_twice_at_once_is_one_job_and_no_refusal(
    api: API, limited: httpx.Client
):
    for _ in range(3):
        order = _order(api, 3) | {"idempotencyKey": secrets.token_hex(8)}
        with ThreadPoolExecutor(2) as pool:
            answers = list(
                pool.map(lambda body: limited.post("/job", json=body), [order, order])
            )

        assert sorted(answer.status_code for answer in answers) == [200, 201]
        job = answers[0].json()["data"]["id"]
        limited.put(f"/job/{job}/cancel")


def test_others_are_not_held_up(api: API, limited: httpx.Client):
    limited.post("/job", json=_order(api, OPEN_TASKS))

    assert limited.post("/job", json=_order(api, 1)).status_code == 429
    assert api.as_(Role.USER).post("/job", json=_order(api, 1)).status_code == 201


def test_uploads_are_counted_by_the_minute(api: API, limited: httpx.Client):
    content = [secrets.token_bytes(16) for _ in range(3 * UPLOADS)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda body: limited.post("/sample", content=body), content)
        )
    refused = [answer for answer in answers if answer.status_code == 429]
    taken = [answer for answer in answers if answer.status_code == 201]

    # A minute may begin between two of them.
    assert UPLOADS <= len(taken) <= 2 * UPLOADS
    assert len(taken) + len(refused) == len(answers)
    assert all(0 < int(answer.headers["Retry-After"]) <= 61 for answer in refused)
    assert api.staged() == []
    api.run("UPDATE usage SET minute = minute - interval '1 minute'")
    assert limited.post("/sample", content=b"again").status_code in {200, 201}
