"""
Tasks over HTTP, as a worker that speaks nothing else moves them.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from orchestrator.domain.values import Role
from tests.fixtures.api import API, first_message

ANALYSIS = {
    "customer": "default",
    "userAgent": {"name": "hand", "version": "1"},
    "tlp": "amber",
    "analysisResult": {"found": True},
    "analysisScore": 80,
}


@pytest.fixture
def task(api: API) -> dict[str, Any]:
    """The only task of a job; ``path`` and ``sample`` are where it is and of what."""
    job = api.add_job()
    (found,) = api.tasks(job["id"])
    return {
        **found,
        "path": f"/job/{job['id']}/task/{found['id']}",
        "job": job["id"],
        "sample": job["analysedSample"]["id"],
    }


def _put(api: API, task: dict[str, Any], **body: Any) -> httpx.Response:
    return api.as_(Role.ANALYZER).put(task["path"], json=body)


def test_the_first_mover_holds_the_task(api: API, task: dict[str, Any]):
    answer = _put(api, task, state="executing")

    data = answer.json()["data"]
    assert answer.status_code == 200, answer.text
    assert data["state"] == "executing"
    assert data["holder"].startswith("http:")
    assert data["startTimestamp"] is not None
    job = api.admin.get(f"/job/{task['job']}").json()["data"]
    assert job["state"] == "executing"


def test_a_repeat_changes_nothing(api: API, task: dict[str, Any]):
    first = _put(api, task, state="executing", message="on it")
    again = _put(api, task, state="executing", message="on it")

    assert again.status_code == 200
    assert again.json()["data"] == first.json()["data"]


def test_somebody_else_is_told_who_holds_it(api: API, task: dict[str, Any]):
    _put(api, task, state="executing")
    held = api.admin.get(task["path"]).json()["data"]

    answer = api.admin.put(task["path"], json={"state": "success"})

    assert answer.status_code == 412
    assert answer.json()["metaData"] == {"code": "held_by_other"}
    assert held["holder"] in first_message(answer)["message"]


def test_two_that_take_the_same_task_are_not_both_told_that_they_have_it(
    api: API, task: dict[str, Any]
):
    first = _put(api, task, state="executing")

    second = api.admin.put(task["path"], json={"state": "executing"})

    assert first.status_code == 200
    assert second.status_code == 412
    assert second.json()["metaData"] == {"code": "held_by_other"}


def test_what_another_worker_found_is_not_this_ones(api: API, task: dict[str, Any]):
    other = api.add_worker()
    given = {
        "customer": "default",
        "userAgent": {"name": other, "version": "1"},
        "tlp": "amber",
        "analysisResult": {},
        "analysisScore": 99,
    }
    job = api.admin.get(f"/job/{task['job']}").json()["data"]
    path = f"/sample/{job['analysedSample']['id']}/analysis"
    found = api.admin.post(path, json=given).json()["data"]["analysisID"]

    answer = _put(api, task, state="success", analyses=[found])

    assert answer.status_code == 412
    assert first_message(answer)["field"] == "analyses"
    assert api.admin.get(task["path"]).json()["data"]["state"] == "enqueued"


def test_success_with_an_analysis_rolls_the_verdict(api: API, task: dict[str, Any]):
    added = api.as_(Role.ANALYZER).post(
        f"/sample/{task['sample']}/analysis", json=ANALYSIS
    )
    analysis_id = added.json()["data"]["analysisID"]
    body = {"state": "success", "analyses": [analysis_id], "message": "ok"}

    answer = _put(api, task, **body)
    again = _put(api, task, **body)

    assert answer.status_code == again.status_code == 200, answer.text
    data = answer.json()["data"]
    assert (data["state"], data["message"]) == ("success", "ok")
    assert data["analyses"] == [
        {
            "id": analysis_id,
            "analysisScore": 80,
            "userAgent": {"name": "hand", "version": "1"},
        }
    ]
    job = api.admin.get(f"/job/{task['job']}").json()["data"]
    assert (job["state"], job["openTasks"]) == ("done", 0)
    sample = api.admin.get(f"/sample/{task['sample']}").json()["data"]
    verdict = sample["latestVerdict"]
    assert (verdict["score"], verdict["status"]) == (80, "malicious")
    assert verdict["job"] == {"id": task["job"], "state": "done"}
    assert verdict["coverage"] == 100
    assert [analysis["id"] for analysis in verdict["analysis"]] == [analysis_id]
    # Workers of the policy that other tests have registered are listed beside it.
    parts = {part["worker"]: part for part in verdict["contributions"]}
    assert parts[task["worker"]] | {"ageSeconds": 0} == {
        "worker": task["worker"],
        "source": "own",
        "why": None,
        "score": 80,
        "weight": 1.0,
        "impact": 100.0,
        "difference": 0.0,
        "analysisID": analysis_id,
        "ageSeconds": 0,
        "workerVersion": "1",
    }


def test_an_ended_task_does_not_move_again(api: API, task: dict[str, Any]):
    _put(api, task, state="failed", message="broken")

    answer = _put(api, task, state="success")

    assert answer.status_code == 412
    assert first_message(answer)["field"] == "state"
    assert "failed" in first_message(answer)["message"]


def test_executing_again_may_say_something_else(api: API, task: dict[str, Any]):
    first = _put(api, task, state="executing", message="10 %")

    again = _put(api, task, state="executing", message="50 %")
    silent = _put(api, task, state="executing")

    assert [answer.status_code for answer in (first, again, silent)] == [200, 200, 200]
    assert again.json()["data"]["message"] == "50 %"
    assert silent.json()["data"]["message"] == "50 %"
    started = [answer.json()["data"]["startTimestamp"] for answer in (first, silent)]
    assert started[0] == started[1]


def test_cancelled_is_the_cancel_command(api: API, task: dict[str, Any]):
    answer = _put(api, task, state="cancelled", message="not needed")

    assert answer.status_code == 200
    assert answer.json()["data"]["state"] == "cancelled"
    assert answer.json()["data"]["message"] == "not needed"


def test_analyses_of_another_sample_are_refused(api: API, task: dict[str, Any]):
    other = api.admin.post(f"/sample/{api.upload()}/analysis", json=ANALYSIS).json()

    answer = _put(api, task, state="success", analyses=[other["data"]["analysisID"]])

    assert answer.status_code == 412
    assert first_message(answer)["field"] == "analyses"
    assert api.tasks(task["job"])[0]["state"] == "enqueued"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "state"),
        ({"state": "enqueued"}, "state"),
        ({"state": "timeout"}, "state"),
        ({"state": "success", "analyses": ["17"]}, "analyses"),
        ({"state": "success", "analyses": "17"}, "analyses"),
        ({"state": "executing", "analyses": [str(uuid4())]}, "analyses"),
        ({"state": "cancelled", "analyses": [str(uuid4())]}, "analyses"),
        ({"state": "success", "message": 17}, "message"),
        ({"state": "success", "message": "a\x00b"}, "message"),
        ({"state": "success", "score": 1}, "score"),
    ],
)
def test_a_wrong_update_is_named_and_changes_nothing(
    api: API, task: dict[str, Any], body: dict[str, Any], field: str
):
    answer = _put(api, task, **body)

    assert answer.status_code == 412, answer.text
    assert first_message(answer)["field"].split(".")[0] == field
    assert api.tasks(task["job"])[0]["state"] == "enqueued"


def test_a_task_of_another_job_is_not_found(api: API, task: dict[str, Any]):
    path = f"/job/{api.add_job()['id']}/task/{task['id']}"

    assert api.admin.get(path).status_code == 404
    assert api.admin.put(path, json={"state": "executing"}).status_code == 404
    assert (
        api.admin.put(
            f"/job/{task['job']}/task/{uuid4()}", json={"state": "executing"}
        ).status_code
        == 404
    )


def test_events_are_shown_for_one_task_and_not_in_lists(api: API, task: dict[str, Any]):
    assert api.admin.get(task["path"]).json()["data"]["events"] == []
    assert api.tasks(task["job"])[0]["events"] is None


def test_tasks_are_sorted_as_asked(api: API):
    workers = sorted(api.add_worker() for _ in range(3))
    job = api.add_job(workers=workers)

    def listed(query: str) -> list[str]:
        answer = api.admin.get(f"/job/{job['id']}/tasks?{query}").json()
        assert answer["count"] == 3
        return [task["worker"] for task in answer["data"]]

    assert listed("") == workers
    assert listed("sortBy=-worker") == workers[::-1]
    assert listed("sortBy=state&sortBy=-worker&limit=2") == workers[:0:-1]
