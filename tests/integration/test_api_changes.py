"""
Many jobs changed in one request: each has its result, and none undoes another.
"""

from __future__ import annotations

import secrets
from typing import Any
from uuid import uuid4

import pytest

from orchestrator.catalog import keys
from orchestrator.catalog.keys import KeyOrder, create_key
from orchestrator.domain.values import Actor, Role
from tests.fixtures.api import API


def _change(
    api: API, verb: str, *, role: Role = Role.USER, **asked: Any
) -> list[dict[str, Any]]:
    answer = api.as_(role).put(f"/job/bulk/{verb}", json=asked)
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["data"]
    return results


def _jobs(api: API, count: int) -> tuple[str, list[str]]:
    sha256 = api.upload()
    return sha256, [api.add_job(sha256)["id"] for _ in range(count)]


def _fail(api: API, job_id: str) -> None:
    (task,) = api.tasks(job_id)
    answer = api.admin.put(f"/job/{job_id}/task/{task['id']}", json={"state": "failed"})
    assert answer.status_code == 200, answer.text


def test_a_dry_run_says_which_and_changes_none(api: API):
    sha256, jobs = _jobs(api, 3)

    found = _change(api, "cancel", matching={"sampleSha256": sha256}, dryRun=True)

    assert [result["id"] for result in found] == jobs[::-1]
    assert {result["outcome"] for result in found} == {"selected"}
    assert {result["job"]["state"] for result in found} == {"enqueued"}
    assert {api.tasks(job)[0]["state"] for job in jobs} == {"enqueued"}


def test_cancelling_what_matches_leaves_alone_what_is_over(api: API):
    sha256, (over, *waiting) = _jobs(api, 3)
    _fail(api, over)

    done = _change(api, "cancel", matching={"sampleSha256": sha256})

    assert {result["id"] for result in done} == set(waiting)
    assert {result["job"]["openTasks"] for result in done} == {0}
    assert {api.tasks(job)[0]["state"] for job in waiting} == {"cancelled"}
    assert api.tasks(over)[0]["state"] == "failed"
    over_only = {"sampleSha256": sha256, "state": ["done"]}
    assert _change(api, "cancel", matching=over_only) == []


def test_what_failed_is_retried_and_what_did_not_says_so(api: API):
    sha256, (failed, waiting) = _jobs(api, 2)
    _fail(api, failed)
    nowhere = str(uuid4())

    (matching,) = _change(api, "retry", matching={"sampleSha256": sha256})
    again, none, missing = _change(api, "retry", jobs=[failed, waiting, nowhere])

    assert (matching["id"], matching["job"]["openTasks"]) == (failed, 1)
    assert [again["code"], none["code"]] == ["illegal_transition"] * 2
    assert missing["code"] == "not_found"
    assert "no failed or timed-out task" in none["messages"][0]["message"]


def test_a_sample_is_analysed_again_once_however_many_of_its_jobs_are_named(api: API):
    _, jobs = _jobs(api, 2)

    first, second = _change(api, "reanalyse", jobs=jobs)

    assert first["job"]["id"] == second["job"]["id"]
    assert first["job"]["id"] not in jobs


def test_others_jobs_stay_as_they_are_and_are_not_shown(api: API):
    sha256, (job,) = _jobs(api, 1)
    name = f"c{secrets.token_hex(4)}"
    with api.services.database.uow() as tx:
        keys.add_customer(tx, name, name, actor=Actor("test"))
        order = KeyOrder(user_name=name, role=Role.USER, customer=name)
        client = api.with_key(create_key(tx, order, actor=Actor("test")).secret)

    for body in ({"jobs": [job]}, {"jobs": [job], "dryRun": True}):
        (result,) = client.put("/job/bulk/cancel", json=body).json()["data"]
        assert (result["code"], result["job"]) == ("permission_denied", None)
    matching = {"matching": {"sampleSha256": sha256}}
    assert client.put("/job/bulk/cancel", json=matching).json()["data"] == []
    assert api.tasks(job)[0]["state"] == "enqueued"


@pytest.mark.parametrize(
    ("verb", "body", "field"),
    [
        ("cancel", {}, "body"),
        ("cancel", {"jobs": [str(uuid4())], "matching": {}}, "body"),
        ("cancel", {"jobs": []}, "jobs"),
        ("cancel", {"jobs": [str(uuid4())] * 501}, "jobs"),
        ("cancel", {"matching": {"limit": 3}}, "matching.limit"),
        ("burn", {"matching": {}}, "verb"),
    ],
)
def test_what_is_off_is_named(api: API, verb: str, body: Any, field: str):
    answer = api.as_(Role.USER).put(f"/job/bulk/{verb}", json=body)

    assert answer.status_code == 412
    assert answer.json()["messages"][0]["field"] == field


def test_a_viewer_changes_nothing(api: API):
    _, (job,) = _jobs(api, 1)

    answer = api.as_(Role.VIEWER).put("/job/bulk/cancel", json={"jobs": [job]})

    assert answer.status_code == 403
    assert api.tasks(job)[0]["state"] == "enqueued"
