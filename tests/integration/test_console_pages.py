"""
The pages of jobs: what they show to whom, whatever is in it, and what forms do.
"""

from __future__ import annotations

import html
import json
import re
import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from orchestrator.catalog import keys
from orchestrator.catalog.keys import KeyOrder, create_key
from orchestrator.domain.values import Actor, Role
from tests.fixtures.api import API
from tests.fixtures.console import send, text_of, visit

#: What ends HTML, a template or a line's direction, if anything does.
HOSTILE = "<script>alert(1)</script>{{7*7}}{% raw %}\u202egpj.exe\x1b[2J'\"--></title>"
LONG = "n" * 4_000


@pytest.fixture
def user(api: API) -> Iterator[httpx.Client]:
    """A browser of somebody who may change jobs."""
    with visit(api, api.key(Role.USER)) as browser:
        yield browser


def _analyse(api: API, job: dict[str, Any], **analysis: Any) -> str:
    """Say what a job's only worker found; return its task."""
    (task,) = api.tasks(job["id"])
    sha256 = job["analysedSample"]["id"]
    form = {
        "customer": "default",
        "userAgent": {"name": task["worker"], "version": "1"},
        "tlp": "amber",
        "analysisScore": 40,
        "analysisResult": {},
        **analysis,
    }
    added = api.admin.post(f"/sample/{sha256}/analysis", json=form)
    assert added.status_code == 200, added.text
    ended = api.admin.put(
        f"/job/{job['id']}/task/{task['id']}",
        json={
            "state": "success",
            "analyses": [added.json()["data"]["analysisID"]],
        },
    )
    assert ended.status_code == 200, ended.text
    return str(task["id"])


def _fail(api: API, job: dict[str, Any], message: str = "no rules") -> str:
    (task,) = api.tasks(job["id"])
    body = {"state": "failed", "message": message}
    answer = api.admin.put(f"/job/{job['id']}/task/{task['id']}", json=body)
    assert answer.status_code == 200, answer.text
    return str(task["id"])


def test_a_job_says_what_it_waits_for_and_why_who_looks_at_it(api: API, user: Any):
    job = api.add_job(fileName="invoice.pdf")
    (task,) = api.tasks(job["id"])

    said = text_of(user.get(f"/jobs/{job['id']}").text)

    assert "invoice.pdf" in said
    assert re.search(rf"{task['worker']} enqueued .* no replica alive, ends in", said)
    assert "the job names it" in said
    assert "It is rolled when the last task ends." in said


def test_a_verdict_shows_each_part_and_what_is_of_an_earlier_job(api: API, user: Any):
    sha256, worker = api.upload(), api.add_worker()
    _analyse(api, api.add_job(sha256, workers=[worker]))
    later = api.add_job(sha256, workers=[worker])
    _fail(api, later)

    said = text_of(user.get(f"/jobs/{later['id']}").text)

    assert "suspicious score 40" in said
    assert "coverage 100 %" in said
    assert re.search(rf"{worker} an earlier job , [\d.]+ s old \(failed\) 40", said)


def test_a_task_shows_numbers_as_they_are_and_what_has_changed(api: API, user: Any):
    sha256, worker = api.upload(), api.add_worker()
    number = 2**53 + 1
    _analyse(
        api,
        api.add_job(sha256, workers=[worker]),
        analysisResult={"offset": 1, "gone": [1, 2]},
    )
    task = _analyse(
        api,
        api.add_job(sha256, workers=[worker]),
        analysisResult={"offset": number, "deep": {"er": [True, None]}},
        analysisScore=90,
    )

    page = user.get(f"/tasks/{task}").text

    assert str(number) in page
    said = text_of(page)
    assert "deep 1" in said
    assert "score 40 90" in said
    assert f"result.offset 1 {number}" in said
    assert "result.gone[1] 2 not there" in said
    assert "result.deep.er[0] not there true" in said


def test_a_task_keeps_the_stack_of_what_went_wrong(api: API, user: Any):
    stack = 'Traceback:\n  File "a.py", line 3\nValueError: no'
    task = _fail(api, api.add_job(), message=stack)

    page = user.get(f"/tasks/{task}").text

    assert html.escape(stack, quote=False).replace('"', "&#34;") in page
    assert "failed error" in text_of(page)


@pytest.mark.parametrize("name", [HOSTILE, LONG, "\u05e9\u05dc\u05d5\u05dd.pdf"])
def test_no_text_is_more_than_text_on_any_page(api: API, user: Any, name: str):
    sha256 = api.upload()
    job = api.add_job(sha256, fileName=name[:1_000])
    task = _analyse(api, job)
    # As a worker may report it, which is asked for less than people are.
    api.run(
        "UPDATE analysis SET agent_version = :name, result = CAST(:result AS jsonb),"
        " tags = CAST(:tags AS jsonb), detections = CAST(:detections AS jsonb)"
        " WHERE sample_sha256 = :sample",
        name=name,
        sample=sha256,
        result=json.dumps({name: [name, {"x": name}]}),
        tags=json.dumps([{"type": name, "value": name}]),
        detections=json.dumps([{"name": name, "assessment": name}]),
    )
    api.run(
        "UPDATE job_task SET message = :name, holder = :name, reason = NULL"
        " WHERE id = :task",
        name=name * 4,
        task=task,
    )
    found = {"q": name[:200].strip() if name.isprintable() else "<script>{{7*7}}"}

    pages = [
        user.get(path, params=params)
        for path, params in (
            (f"/jobs/{job['id']}", None),
            (f"/tasks/{task}", None),
            ("/jobs", {"sample": sha256}),
            ("/find", found),
            ("/jobs", {"customer": name[:200]}),
            ("/", None),
        )
    ]

    for page in pages[:4]:
        assert page.status_code in {200, 303}, page.url
    for page in pages:
        assert "<script>" not in page.text.replace('<script src="', "")
        assert page.text.count("<script") <= 1
        assert not {"\u202e", "\x1b"} & set(page.text)
    assert "{{7*7}}" in pages[0].text or name is not HOSTILE
    assert ">49<" not in pages[0].text


def test_pages_of_the_list_follow_one_another(api: API, user: Any, monkeypatch: Any):
    monkeypatch.setattr("orchestrator.console.routes.jobs._ROWS", 2)
    sha256 = api.upload()
    ids = [api.add_job(sha256)["id"] for _ in range(5)][::-1]

    def rows(page: str) -> list[str]:
        return re.findall(r'<a class="id" href="/jobs/([0-9a-f-]{36})"', page)

    def follow(page: str, rel: str) -> str:
        (link,) = re.findall(rf'<a href="([^"]+)" rel="{rel}"', page)
        return str(user.get(html.unescape(link)).text)

    first = user.get("/jobs", params={"sample": sha256, "state": "enqueued"}).text
    second = follow(first, "next")
    third = follow(second, "next")

    assert [*rows(first), *rows(second), *rows(third)] == ids
    assert 'rel="next"' not in third
    assert rows(follow(third, "prev")) == rows(second)
    assert rows(follow(follow(third, "prev"), "prev")) == rows(first)
    assert "5 match" in text_of(first)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sample=abc", "sample : is no SHA-256"),
        ("start=yesterday", "'yesterday' is not a time"),
        ("customer=nobody", "there is no customer 'nobody'"),
        ("before=x", "before : is no place in the list"),
        ("state=burnt", "state"),
        ("sample=a&sample=b", "comes more than once"),
    ],
)
def test_criteria_that_are_off_are_named(user: Any, query: str, said: str):
    answer = user.get(f"/jobs?{query}")

    assert answer.status_code == 412
    assert said in text_of(answer.text)


def test_what_is_ticked_is_cancelled_once_somebody_is_sure(api: API, user: Any):
    first, second = api.add_job(), api.add_job()
    ids = [first["id"], second["id"]]

    asked = send(user, "/jobs/bulk", verb="cancel", job=ids)

    assert "Cancel 2 jobs?" in text_of(asked.text)
    assert "assay job cancel" in html.unescape(asked.text)
    assert api.tasks(first["id"])[0]["state"] == "enqueued"

    done = send(user, "/jobs/bulk", verb="cancel", job=ids, sure="yes")

    assert "2 of 2 cancelled" in text_of(done.text)
    assert api.tasks(second["id"])[0]["state"] == "cancelled"


def test_what_matches_is_counted_first_and_says_what_it_could_not(api: API, user: Any):
    sha256 = api.upload()
    failed, waiting = api.add_job(sha256), api.add_job(sha256)
    _fail(api, failed)

    asked = send(user, f"/jobs/bulk?sample={sha256}", verb="retry", which="matching")
    done = send(
        user,
        "/jobs/bulk",
        verb="retry",
        job=[failed["id"], waiting["id"]],
        sure="yes",
    )

    assert "Retry 1 job?" in text_of(asked.text)
    assert "1 of 2 retried" in text_of(done.text)
    assert "no failed or timed-out task to retry" in text_of(done.text)
    assert api.tasks(failed["id"])[0]["attempt"] == 2


def test_a_job_is_cancelled_retried_and_analysed_again_by_its_page(api: API, user: Any):
    job = api.add_job()

    cancelled = send(user, f"/jobs/{job['id']}/cancel")
    assert cancelled.headers["Location"] == f"/jobs/{job['id']}"
    assert api.tasks(job["id"])[0]["state"] == "cancelled"

    refused = send(user, f"/jobs/{job['id']}/retry")
    assert refused.status_code == 412
    assert "no failed or timed-out task" in text_of(refused.text)

    again = send(user, f"/jobs/{job['id']}/reanalyse")
    assert again.headers["Location"] != f"/jobs/{job['id']}"
    assert user.get(again.headers["Location"]).status_code == 200


@pytest.mark.parametrize("verb", ["cancel", "retry", "reanalyse"])
def test_a_viewer_sees_no_form_and_may_send_none(api: API, verb: str):
    job = api.add_job()
    with visit(api, api.key(Role.VIEWER)) as viewer:
        page = viewer.get(f"/jobs/{job['id']}").text
        answer = send(viewer, f"/jobs/{job['id']}/{verb}")
        many = send(viewer, "/jobs/bulk", verb=verb, job=job["id"], sure="yes")

    assert f"/{verb}" not in page.partition("<main")[2].partition("Why these")[0]
    assert (answer.status_code, many.status_code) == (403, 403)
    assert "this needs the role user" in text_of(answer.text)
    assert api.tasks(job["id"])[0]["state"] == "enqueued"


def test_a_form_without_the_sessions_word_changes_nothing(api: API, user: Any):
    job = api.add_job()

    for data in ({}, {"csrf": "guessed"}):
        answer = user.post(f"/jobs/{job['id']}/cancel", data=data or {"x": "y"})
        assert answer.status_code == 403

    assert api.tasks(job["id"])[0]["state"] == "enqueued"


def test_others_jobs_and_tasks_are_refused_and_found_by_nobody(api: API):
    job = api.add_job(fileName=f"secret-{secrets.token_hex(4)}.bin")
    (task,) = api.tasks(job["id"])
    name = f"c{secrets.token_hex(4)}"
    with api.services.database.uow() as tx:
        keys.add_customer(tx, name, name, actor=Actor("test"))
        order = KeyOrder(user_name=name, role=Role.USER, customer=name)
        key = create_key(tx, order, actor=Actor("test")).secret
    with visit(api, key) as stranger:
        assert stranger.get(f"/jobs/{job['id']}").status_code == 403
        assert stranger.get(f"/tasks/{task['id']}").status_code == 403
        assert send(stranger, f"/jobs/{job['id']}/cancel").status_code == 403
        assert job["id"] not in stranger.get("/jobs").text
        found = stranger.get("/find", params={"q": job["fileName"]})
        assert "Nothing is known by that" in text_of(found.text)


def test_one_hit_is_shown_at_once_and_several_are_listed(api: API, user: Any):
    name = f"n{secrets.token_hex(6)}"
    job = api.add_job(fileName=f"{name}-1.bin")
    (task,) = api.tasks(job["id"])
    sha256 = job["analysedSample"]["id"]

    def led(word: str) -> str:
        return str(user.get("/find", params={"q": word}).headers.get("Location"))

    assert led(job["id"]) == f"/jobs/{job['id']}"
    assert led(job["id"][-10:]) == f"/jobs/{job['id']}"
    assert led(task["id"]) == f"/tasks/{task['id']}"
    assert led(sha256) == f"/samples/{sha256}"
    assert led(f"{name}-1") == f"/jobs/{job['id']}"
    assert led(task["worker"]) == f"/workers/{task['worker']}"
    api.add_job(fileName=f"{name}-2.bin")
    listed = user.get("/find", params={"q": name})
    assert listed.status_code == 200
    assert f"{name}-1.bin (enqueued)" in text_of(listed.text)
    assert user.get("/find", params={"q": "x"}).status_code == 412


def test_the_same_by_curl_is_what_the_api_takes(api: API, user: Any):
    job = api.add_job()
    page = html.unescape(user.get(f"/jobs/{job['id']}").text)

    commands = re.findall(r"<code>(curl [^<]+)</code>", page)

    assert f"<code>assay job cancel {job['id']}</code>" in page
    asked = {
        (found[1] or "GET", found[2])
        for command in commands
        if (
            found := re.search(
                r'(?:-X (\w+) )?"\$ASSAY_API_URL/sampledb/v2([^"]+)"$', command
            )
        )
    }
    assert len(asked) == len(commands) >= 4
    for method, path in asked:
        assert api.admin.request(method, path).status_code == 200, (method, path)


def test_the_overview_says_of_each_worker_how_it_is(api: API, user: Any):
    worker = api.add_worker()
    api.add_job(workers=[worker])
    said = text_of(user.get("/").text)

    assert (
        f"{worker} never ran no replica of it has ever run; 1 wait assay worker run"
        f" {worker}" in said
    )
    api.admin.put(f"/worker/{worker}/pause")
    assert f"{worker} paused it takes nothing; 1 wait" in text_of(user.get("/").text)


def test_the_criteria_of_the_address_are_those_of_the_api(api: API, user: Any):
    sha256 = api.upload()
    job = api.add_job(sha256)
    page = user.get(
        "/jobs", params={"sample": sha256, "state": "enqueued", "start": "now - 1 hour"}
    ).text

    (sent,) = re.findall(r"--json '([^']+)'", html.unescape(page))
    found = api.admin.post("/job/search", json=json.loads(sent)).json()["data"]

    assert [each["id"] for each in found] == [job["id"]]
    assert job["id"] in page
