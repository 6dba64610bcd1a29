"""
Jobs over HTTP: ordering once, finding again, cancelling, retrying, explaining.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from orchestrator.domain.values import Role
from tests.fixtures.api import API, first_message


def _search(api: API, **criteria: Any) -> httpx.Response:
    return api.as_(Role.VIEWER).post("/job/search", json=criteria)


def _ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["data"]]


@pytest.fixture
def three_jobs(api: API) -> list[dict[str, Any]]:
    """Three jobs of one sample, enqueued one after the other."""
    worker, sha256 = api.add_worker(), api.upload()
    return [api.add_job(sha256, workers=[worker], priority=n) for n in range(3)]


def test_an_order_becomes_a_job_with_one_task_per_worker(api: API):
    workers = sorted([api.add_worker(), api.add_worker()])
    sha256 = api.upload()

    answer = api.as_(Role.USER).post(
        "/job",
        json={
            "sampleSha256": sha256,
            "workers": workers,
            "priority": 3,
            "fileName": "invoice.pdf",
            "options": {"meta.depth": "2"},
        },
    )

    assert answer.status_code == answer.json()["responseCode"] == 201
    data = answer.json()["data"]
    assert data["state"] == "enqueued"
    assert data["analysedSample"] == {"id": sha256, "size": 64}
    assert data["customer"]["shortName"] == "default"
    assert (data["priority"], data["fileName"]) == (3, "invoice.pdf")
    assert data["openTasks"] == 2
    assert isinstance(data["enqueuedTimestamp"], int)
    assert data["startTimestamp"] is data["endTimestamp"] is None
    assert [task["worker"] for task in api.tasks(data["id"])] == workers


def test_a_job_is_found_again_by_its_id(api: API):
    job = api.add_job()

    assert api.as_(Role.VIEWER).get(f"/job/{job['id']}").json()["data"] == job


def test_a_job_says_what_its_newest_verdict_is(api: API):
    job = api.add_job()
    rolled = (
        "INSERT INTO verdict (id, sample_sha256, job_id, score, status, created_at)"
        " SELECT gen_random_uuid(), sample_sha256, id, :score, :status,"
        " now() + make_interval(secs => :later) FROM job WHERE id = :job RETURNING 1"
    )
    assert job["verdict"] is None

    api.run(rolled, job=job["id"], score=80, status="malicious", later=1)
    api.run(rolled, job=job["id"], score=40, status="suspicious", later=0)

    found = api.admin.get(f"/job/{job['id']}").json()["data"]
    assert found["verdict"] == {"status": "malicious", "score": 80}
    answer = _search(api, sampleSha256=job["analysedSample"]["id"])
    assert [each["verdict"] for each in answer.json()["data"]] == [found["verdict"]]


@pytest.mark.parametrize(
    "path", ["", "/tasks", "/explain", "/task/00000000-0000-7000-8000-00000000000f"]
)
def test_an_unknown_job_answers_404(api: API, path: str):
    answer = api.admin.get(f"/job/{uuid4()}{path}")

    assert answer.status_code == 404
    assert first_message(answer)["field"] in {"jobID", "taskID"}


@pytest.mark.parametrize("command", ["cancel", "retry"])
def test_commands_to_an_unknown_job_answer_404(api: API, command: str):
    assert api.admin.put(f"/job/{uuid4()}/{command}").status_code == 404


def test_an_id_that_is_none_answers_412(api: API):
    answer = api.admin.get("/job/17")

    assert answer.status_code == 412
    assert first_message(answer)["field"] == "jobID"


def test_an_unknown_sample_cannot_be_ordered(api: API):
    before = api.counts()

    answer = api.admin.post("/job", json={"sampleSha256": "0" * 64})

    assert answer.status_code == 404
    assert first_message(answer)["field"] == "sampleSha256"
    assert api.counts() == before


def test_an_unknown_worker_is_named_and_nothing_is_written(api: API):
    order = {"sampleSha256": api.upload(), "workers": [api.add_worker(), "nobody"]}
    before = api.counts()

    answer = api.admin.post("/job", json=order)

    assert answer.status_code == 412
    assert first_message(answer)["field"] == "workers"
    assert "nobody" in first_message(answer)["message"]
    assert api.counts() == before


def test_a_deleted_worker_is_as_unknown_as_any_other(api: API):
    gone = api.add_worker()
    assert api.admin.delete(f"/worker/{gone}").status_code == 200
    order = {"sampleSha256": api.upload(), "workers": [api.add_worker(), gone]}
    before = api.counts()

    answer = api.admin.post("/job", json=order)

    assert answer.status_code == 412
    assert gone in first_message(answer)["message"]
    assert api.counts() == before


def test_the_same_order_with_the_same_key_is_the_first_job(api: API):
    order = {
        "sampleSha256": api.upload(),
        "workers": [api.add_worker()],
        "idempotencyKey": str(uuid4()),
    }

    first = api.as_(Role.USER).post("/job", json=order)
    again = api.as_(Role.USER).post("/job", json=order)
    somebody_else = api.admin.post("/job", json=order)

    assert first.status_code == 201
    assert again.status_code == again.json()["responseCode"] == 200
    assert again.json()["data"]["id"] == first.json()["data"]["id"]
    assert somebody_else.status_code == 201


def test_another_order_with_the_same_key_answers_412(api: API):
    order: dict[str, Any] = {
        "sampleSha256": api.upload(),
        "workers": [api.add_worker()],
        "idempotencyKey": str(uuid4()),
    }
    api.admin.post("/job", json=order)
    before = api.counts()

    answer = api.admin.post("/job", json={**order, "priority": 1})

    assert answer.status_code == 412
    assert answer.json()["metaData"] == {"code": "idempotency_conflict"}
    assert first_message(answer)["field"] == "idempotencyKey"
    assert api.counts() == before


def test_a_job_for_nobody_is_done_at_once(api: API):
    worker = api.add_worker()
    api.run(
        "WITH told AS (INSERT INTO worker_version (worker_id, version, accepts,"
        " run_seconds, max_tlp, sends_data_out, max_bytes)"
        " SELECT id, '1', '{*}', 60, 'red', false, 1 FROM worker"
        " WHERE short_name = :name RETURNING worker_id)"
        " UPDATE worker SET version = '1' FROM told WHERE id = worker_id",
        name=worker,
    )

    order = {"sampleSha256": api.upload(), "workers": [worker]}
    answer = api.admin.post("/job", json=order)

    assert answer.status_code == 201, answer.text
    job = answer.json()["data"]
    assert (job["state"], job["openTasks"]) == ("done", 0)
    assert api.admin.put(f"/job/{job['id']}/cancel").status_code == 200


def test_jobs_are_listed_the_newest_first(api: API, three_jobs: list[dict[str, Any]]):
    answer = api.as_(Role.VIEWER).get("/job?limit=3")

    assert _ids(answer) == [job["id"] for job in reversed(three_jobs)]
    body = answer.json()
    assert (body["limit"], body["offset"], body["size"]) == (3, 0, 3)
    assert body["count"] >= 3


def test_a_search_finds_the_jobs_of_a_sample(
    api: API, three_jobs: list[dict[str, Any]]
):
    sha256 = three_jobs[0]["analysedSample"]["id"]

    answer = _search(api, sampleSha256=[sha256.upper()], sortBy=["enqueuedTimestamp"])

    assert _ids(answer) == [job["id"] for job in three_jobs]
    assert answer.json()["count"] == 3


@pytest.mark.parametrize("limit", [1, 2, 3, 0])
def test_pages_cover_everything_once(
    api: API, three_jobs: list[dict[str, Any]], limit: int
):
    sha256 = three_jobs[0]["analysedSample"]["id"]
    found: list[str] = []

    for offset in range(0, 3, limit or 3):
        page = _search(api, sampleSha256=[sha256], limit=limit, offset=offset)
        assert (page.json()["count"], page.json()["limit"]) == (3, limit)
        found += _ids(page)

    assert found == [job["id"] for job in reversed(three_jobs)]


def test_a_page_behind_the_end_is_empty_and_keeps_the_count(
    api: API, three_jobs: list[dict[str, Any]]
):
    sha256 = three_jobs[0]["analysedSample"]["id"]

    answer = _search(api, sampleSha256=[sha256], offset=50).json()

    assert (answer["count"], answer["size"], answer["data"]) == (3, 0, [])


def test_several_states_are_alternatives(api: API, three_jobs: list[dict[str, Any]]):
    sha256 = three_jobs[0]["analysedSample"]["id"]
    api.admin.put(f"/job/{three_jobs[0]['id']}/cancel")

    done = _search(api, sampleSha256=[sha256], state=["done"])
    both = _search(api, sampleSha256=[sha256], state=["done", "enqueued"])
    listed = api.admin.get("/job?state=done&state=timeout&limit=0")

    assert _ids(done) == [three_jobs[0]["id"]]
    assert len(_ids(both)) == 3
    assert {job["state"] for job in listed.json()["data"]} <= {"done", "timeout"}


def test_sorting_chains_and_turns(api: API, three_jobs: list[dict[str, Any]]):
    sha256 = three_jobs[0]["analysedSample"]["id"]
    api.admin.put(f"/job/{three_jobs[1]['id']}/cancel")

    answer = _search(api, sampleSha256=[sha256], sortBy=["-state", "enqueuedTimestamp"])

    first, middle, last = (job["id"] for job in three_jobs)
    assert _ids(answer) == [first, last, middle]


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [
        ("now - 1 hour", "now", True),
        ("now - 1 week", None, True),
        (None, "now-1hour", False),
        ("now + 1 minute", None, False),
        (0, 1, False),
        ("2016-11-30T15:47:00Z", "2016-11-30T15:48:00Z", False),
        ("2016-11-30T15:47:00Z", "NOW + 1 Year", True),
    ],
)
def test_times_are_read_in_every_way(
    api: API, start: object, end: object, *, found: bool
):
    job = api.add_job()
    times = {"startTimestamp": start, "endTimestamp": end}

    answer = _search(
        api,
        sampleSha256=[job["analysedSample"]["id"]],
        **{name: value for name, value in times.items() if value is not None},
    )

    assert _ids(answer) == ([job["id"]] if found else [])


def test_a_search_may_ask_for_any_time_or_for_all(api: API):
    job = api.add_job()
    criteria = {
        "sampleSha256": [job["analysedSample"]["id"]],
        "startTimestamp": "now - 1 hour",
    }

    assert _ids(_search(api, **criteria, timeFieldStrategy="endTimestamp")) == []
    assert _ids(_search(api, **criteria, timeMatchStrategy="all")) == []
    assert _ids(_search(api, **criteria, timeFieldStrategy=["all"])) == [job["id"]]


@pytest.mark.parametrize(
    ("fields", "start", "end", "found"),
    [
        (["all"], "now - 2 hours", None, True),
        (["all"], "now - 30 minutes", None, False),
        (["all"], None, "now - 6 days", False),
        (["enqueuedTimestamp"], "now - 4 days", None, False),
        (["enqueuedTimestamp"], "now - 6 days", "now - 4 days", True),
        (["startTimestamp"], "now - 4 days", "now - 2 days", True),
        (["startTimestamp"], "now - 2 days", None, False),
        (["endTimestamp"], "now - 2 days", "now", True),
        (["endTimestamp"], None, "now - 2 hours", False),
    ],
)
def test_a_job_that_took_days_is_found_by_each_of_its_times(
    api: API, fields: list[str], start: str | None, end: str | None, *, found: bool
):
    job = api.add_job()
    api.run(
        "UPDATE job SET state = 'done', enqueued_at = now() - interval '5 days',"
        " started_at = now() - interval '3 days', ended_at = now() - interval '1 hour'"
        " WHERE id = :id",
        id=job["id"],
    )
    times = {"startTimestamp": start, "endTimestamp": end}

    answer = _search(
        api,
        sampleSha256=[job["analysedSample"]["id"]],
        timeFieldStrategy=fields,
        **{name: value for name, value in times.items() if value is not None},
    )

    assert _ids(answer) == ([job["id"]] if found else [])


def test_a_job_that_waited_for_days_is_found_by_its_start(api: API):
    job = api.add_job()
    api.run(
        "UPDATE job SET state = 'executing', enqueued_at = now() - interval '5 days',"
        " started_at = now() - interval '1 hour'"
        " WHERE id = :id",
        id=job["id"],
    )
    criteria = {"sampleSha256": [job["analysedSample"]["id"]]}

    assert _ids(_search(api, **criteria, startTimestamp="now - 2 hours")) == [job["id"]]
    assert _ids(_search(api, **criteria, startTimestamp="now - 30 minutes")) == []


@pytest.mark.parametrize(
    ("criteria", "field"),
    [
        ({"startTimestamp": "yesterday"}, "startTimestamp"),
        ({"endTimestamp": "2016-11-30T15:47:00+01:00"}, "endTimestamp"),
        ({"startTimestamp": 10**30}, "startTimestamp"),
        ({"startTimestamp": True}, "startTimestamp"),
        ({"customer": ["nobody"]}, "customer"),
        ({"state": ["finished"]}, "state"),
        ({"sampleSha256": ["xyz"]}, "sampleSha256"),
        ({"sortBy": ["nonsense"]}, "sortBy"),
        ({"limit": 100_001}, "limit"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_search_that_is_off_names_the_field(
    api: API, criteria: dict[str, Any], field: str
):
    answer = _search(api, **criteria)

    assert answer.status_code == 412, answer.text
    assert first_message(answer)["field"].split(".")[0] == field


def test_a_customer_is_known_by_short_name_and_by_number(api: API):
    job = api.add_job()
    sha256 = job["analysedSample"]["id"]

    for customer in ("default", str(job["customer"]["id"])):
        answer = _search(api, sampleSha256=[sha256], customer=[customer])
        assert _ids(answer) == [job["id"]]


def test_cancelling_ends_the_job_and_says_who_did_it(api: API):
    job = api.add_job()

    answer = api.as_(Role.USER).put(f"/job/{job['id']}/cancel")
    again = api.as_(Role.USER).put(f"/job/{job['id']}/cancel")

    assert answer.status_code == again.status_code == 200
    data = answer.json()["data"]
    assert (data["state"], data["openTasks"]) == ("done", 0)
    (task,) = api.tasks(job["id"])
    assert (task["state"], task["reason"]) == ("cancelled", "cancelled")
    shown = api.admin.get(f"/job/{job['id']}/task/{task['id']}").json()["data"]
    assert [event["actor"] for event in shown["events"]] == ["user test-user"]


def test_retrying_starts_the_next_attempt_of_what_failed(api: API):
    job = api.add_job()
    (task,) = api.tasks(job["id"])
    path = f"/job/{job['id']}/task/{task['id']}"
    assert api.admin.put(path, json={"state": "failed"}).status_code == 200

    answer = api.as_(Role.USER).put(f"/job/{job['id']}/retry")

    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["openTasks"] == 1
    (retried,) = api.tasks(job["id"])
    assert (retried["state"], retried["attempt"]) == ("enqueued", 2)
    assert retried["enqueuedTimestamp"] == task["enqueuedTimestamp"]


def test_what_has_not_failed_cannot_be_retried(api: API):
    job = api.add_job()

    answer = api.admin.put(f"/job/{job['id']}/retry")

    assert answer.status_code == 412
    assert first_message(answer)["field"] == "jobID"


def test_what_a_deleted_worker_failed_stays_as_it_is(api: API):
    gone, here = api.add_worker(), api.add_worker()
    job = api.add_job(workers=[gone, here])
    for task in api.tasks(job["id"]):
        path = f"/job/{job['id']}/task/{task['id']}"
        assert api.admin.put(path, json={"state": "failed"}).status_code == 200
    assert api.admin.delete(f"/worker/{gone}").status_code == 200

    answer = api.admin.put(f"/job/{job['id']}/retry")

    assert answer.status_code == 200, answer.text
    states = {task["worker"]: task["state"] for task in api.tasks(job["id"])}
    assert states == {gone: "failed", here: "enqueued"}


def test_explain_says_why_a_job_that_is_over_has_no_verdict(api: API):
    worker = api.add_worker()
    job = api.add_job(workers=[worker])

    def said() -> object:
        path = f"/job/{job['id']}/explain"
        return api.as_(Role.VIEWER).get(path).json()["data"]["noVerdict"]

    assert said() is None
    api.as_(Role.USER).put(f"/job/{job['id']}/cancel", json={}).raise_for_status()
    assert said() == "all its tasks were cancelled, and those count for nothing"
    api.run(
        "UPDATE job_task SET state = 'failed', reason = 'error' WHERE job_id = :job",
        job=job["id"],
    )
    assert str(said()).startswith("nothing counted (1 failed)")
    api.run("DELETE FROM job_task WHERE job_id = :job", job=job["id"])
    assert said() == "no worker was selected"


def test_explain_names_every_registered_worker_and_why(api: API):
    chosen, other = api.add_worker(), api.add_worker()
    job = api.add_job(workers=[chosen])

    answer = api.as_(Role.VIEWER).get(f"/job/{job['id']}/explain")

    choices = {choice["worker"]: choice for choice in answer.json()["data"]["workers"]}
    assert choices[chosen]["selected"]
    assert choices[chosen]["reason"] == "chosen"
    assert not choices[other]["selected"]
    assert choices[other]["reason"] == "not_chosen"
    assert choices[other]["detail"]


def test_deadlines_start_when_a_job_is_ordered(api: API):
    job = api.add_job()

    row = api.run("SELECT due_at - enqueued_at FROM job WHERE id = :id", id=job["id"])

    assert row[0] == timedelta(days=1)
