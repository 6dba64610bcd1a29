"""
Many orders in one request: each has its result, and none undoes another.
"""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from orchestrator.api.schemas.bulk import ORDERS_MAX
from orchestrator.catalog import keys
from orchestrator.catalog.keys import KeyOrder, create_key
from orchestrator.domain.values import Actor, Role
from tests.fixtures.api import API


def _place(client: httpx.Client, *orders: Any) -> list[dict[str, Any]]:
    answer = client.post("/job/bulk", json={"orders": orders})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["count"] == body["size"] == len(body["data"]) == len(orders)
    results: list[dict[str, Any]] = body["data"]
    return results


def _outcomes(results: list[dict[str, Any]]) -> list[str]:
    return [result["outcome"] for result in results]


def test_each_order_becomes_a_job_of_its_own(api: API):
    worker = api.add_worker()
    samples = [api.upload() for _ in range(3)]
    orders = [
        {"sampleSha256": sha256, "workers": [worker], "fileName": f"{n}.bin"}
        for n, sha256 in enumerate(samples)
    ]

    results = _place(api.as_(Role.USER), *orders)

    assert _outcomes(results) == ["created"] * 3
    for result, order in zip(results, orders, strict=True):
        job = result["job"]
        assert result["code"] is None
        assert result["messages"] == []
        assert job["fileName"] == order["fileName"]
        assert job["analysedSample"]["id"] == order["sampleSha256"]
        assert job["openTasks"] == 1
        assert api.admin.get(f"/job/{job['id']}").json()["data"] == job
        assert [task["worker"] for task in api.tasks(job["id"])] == [worker]


def test_what_is_wrong_with_one_is_said_of_it_and_stops_no_other(api: API):
    worker, sha256 = api.add_worker(), api.upload()
    good = {"sampleSha256": sha256, "workers": [worker]}
    unknown = secrets.token_hex(32)
    orders: list[Any] = [
        good,
        {**good, "sampleSha256": unknown},
        {**good, "workers": ["nobody"]},
        {**good, "priority": 99, "colour": "blue"},
        "no order",
        {**good, "workers": []},
        {**good, "submission": {"customer": "no-such-customer"}},
        good,
    ]

    results = _place(api.as_(Role.USER), *orders)

    assert _outcomes(results) == ["created", *["refused"] * 6, "created"]
    assert [result["code"] for result in results[1:7]] == [
        "not_found",
        "unknown_worker",
        "invalid",
        "invalid",
        "invalid",
        "invalid",
    ]
    assert unknown in results[1]["messages"][0]["message"]
    assert results[1]["messages"][0]["field"] == "sampleSha256"
    assert {said["field"] for said in results[3]["messages"]} == {"priority", "colour"}
    assert results[6]["messages"][0]["field"] == "customer"
    assert all(result["job"] is None for result in results[1:7])


def test_the_same_orders_again_are_answered_with_the_first_jobs(api: API):
    worker, sha256 = api.add_worker(), api.upload()
    names = [secrets.token_hex(8) for _ in range(3)]
    orders = [
        {"sampleSha256": sha256, "workers": [worker], "idempotencyKey": key}
        for key in names
    ]
    first = _place(api.admin, *orders)

    again = _place(api.admin, *orders, {**orders[0], "priority": 5})

    assert _outcomes(again) == ["repeated"] * 3 + ["refused"]
    assert [result["job"]["id"] for result in again[:3]] == [
        result["job"]["id"] for result in first
    ]
    assert again[3]["code"] == "idempotency_conflict"


def test_a_key_twice_in_one_request_is_one_job(api: API):
    worker, sha256 = api.add_worker(), api.upload()
    order = {
        "sampleSha256": sha256,
        "workers": [worker],
        "idempotencyKey": secrets.token_hex(8),
    }

    results = _place(api.admin, order, order, {**order, "fileName": "another"})

    assert _outcomes(results) == ["created", "repeated", "refused"]
    assert results[0]["job"]["id"] == results[1]["job"]["id"]
    assert len(api.tasks(results[0]["job"]["id"])) == 1


def test_two_who_send_the_same_in_opposite_order_do_not_wait_in_a_circle(api: API):
    order = {"sampleSha256": api.upload(), "workers": [api.add_worker()]}
    client, run = api.admin, secrets.token_hex(4)

    for turn in range(10):
        keys = [f"{run}-{turn}-{n}" for n in range(100)]
        orders = [{**order, "idempotencyKey": key} for key in keys]
        with ThreadPoolExecutor(2) as both:
            one = both.submit(_place, client, *orders)
            other = both.submit(_place, client, *reversed(orders))
        ids = [result["job"]["id"] for result in one.result()]
        # Each has the answers in the order in which it asked.
        assert [each["job"]["id"] for each in other.result()] == ids[::-1]


def test_the_most_that_a_request_may_hold_and_no_more(api: API):
    worker, sha256 = api.add_worker(), api.upload()
    order = {"sampleSha256": sha256, "workers": [worker]}

    most = _place(api.admin, *[order] * ORDERS_MAX)
    more = api.admin.post("/job/bulk", json={"orders": [order] * (ORDERS_MAX + 1)})
    none = api.admin.post("/job/bulk", json={"orders": []})

    assert set(_outcomes(most)) == {"created"}
    assert len({result["job"]["id"] for result in most}) == ORDERS_MAX
    assert more.status_code == none.status_code == 412
    enqueued = api.run(
        "SELECT sum(value) FROM counter c JOIN worker w"
        " ON c.labels ->> 'worker' = w.id::text"
        " WHERE c.name = 'tasks_enqueued' AND w.short_name = :worker",
        worker=worker,
    )
    assert enqueued[0] == ORDERS_MAX


@pytest.fixture
def stranger(api: API) -> httpx.Client:
    """A user of another customer, who sees none of the first one's samples."""
    name = f"c{secrets.token_hex(4)}"
    with api.services.database.uow() as tx:
        keys.add_customer(tx, name, name, actor=Actor("test"))
        order = KeyOrder(user_name=f"u{name}", role=Role.USER, customer=name)
        key = create_key(tx, order, actor=Actor("test")).secret
    return api.with_key(key)


def test_anothers_sample_is_refused_alone(api: API, stranger: httpx.Client):
    worker = api.add_worker()
    theirs, own = api.upload(), secrets.token_bytes(64)
    uploaded = stranger.post("/sample", content=own).json()["data"]["sample"]["id"]

    results = _place(
        stranger,
        {"sampleSha256": theirs, "workers": [worker]},
        {"sampleSha256": uploaded, "workers": [worker]},
        {"sampleSha256": uploaded, "submission": {"customer": "default"}},
    )

    assert _outcomes(results) == ["refused", "created", "refused"]
    assert [results[0]["code"], results[2]["code"]] == ["permission_denied"] * 2


def test_who_may_not_order_one_job_may_not_order_many(api: API):
    answer = api.as_(Role.VIEWER).post("/job/bulk", json={"orders": [{}]})

    assert answer.status_code == 403


@pytest.mark.parametrize("path", ["/job", "/job/bulk"])
def test_what_is_said_with_an_order_is_kept_with_its_job(api: API, path: str):
    worker, sha256 = api.add_worker(), api.upload()
    order = {
        "sampleSha256": sha256,
        "workers": [worker],
        "fileName": "said.bin",
        "idempotencyKey": secrets.token_hex(8),
        "submission": {"tlp": "green", "metaData": {"case": "4711"}},
    }
    body = order if path == "/job" else {"orders": [order]}

    first = api.as_(Role.USER).post(path, json=body).json()["data"]
    again = api.as_(Role.USER).post(path, json=body)

    job = first if path == "/job" else first[0]["job"]
    assert again.status_code == 200
    kept = api.admin.get(f"/sample/{sha256}/submission").json()["data"]
    (said,) = [row for row in kept if row["job"] == job["id"]]
    assert (said["tlp"], said["metaData"]) == ("green", {"case": "4711"})
    assert said["fileName"] == "said.bin"
    assert len(kept) == 1


def test_what_is_said_with_an_order_decides_who_looks_at_it(api: API):
    worker, sha256, nobody = api.add_worker(), api.upload(), secrets.token_hex(4)
    for source, workers in ((worker, [worker]), (nobody, [])):
        rule = {
            "name": "mail",
            "description": "",
            "match": {
                "submission": {"metaDataKey": ["source"], "metaDataValue": [source]}
            },
            "action": {"workers": {"set": workers}},
        }
        added = api.admin.post("/policy/default/rule", json=rule)
        assert added.status_code == 201, added.text

    orders = [
        {"sampleSha256": sha256, "submission": {"metaData": {"source": source}}}
        for source in (nobody, worker)
    ]
    unseen, mail = _place(api.admin, *orders)

    assert [task["worker"] for task in api.tasks(unseen["job"]["id"])] == []
    assert [task["worker"] for task in api.tasks(mail["job"]["id"])] == [worker]
    # For whom nobody is chosen, that one is over at once.
    assert unseen["job"]["state"] == "done"
