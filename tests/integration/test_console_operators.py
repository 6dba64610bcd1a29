"""
The pages of samples, workers, failures, the policy and the administration: what they
show to whom, whatever is in it, and what their forms do.
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

from orchestrator.catalog.keys import KeyOrder, create_key
from orchestrator.console.routes import webhooks
from orchestrator.domain.values import Actor, Role
from tests.fixtures.api import API
from tests.fixtures.console import send, text_of, visit, word_of

MARKUP = "<script>alert(1)</script>{{7*7}}"
HOSTILE = "<script>alert(1)</script>{{7*7}}\u202egpj.exe\x1b[2J'\"--></title>"

PAGES = {
    "/samples": Role.VIEWER,
    "/workers": Role.VIEWER,
    "/failures": Role.VIEWER,
    "/policy": Role.ADMINISTRATOR,
    "/admin/webhooks": Role.USER,
    "/admin/keys": Role.ADMINISTRATOR,
    "/admin/customers": Role.ADMINISTRATOR,
    "/admin/poison": Role.ADMINISTRATOR,
    "/admin/rejected": Role.ADMINISTRATOR,
    "/admin/audit": Role.ADMINISTRATOR,
}


@pytest.fixture
def admin(api: API) -> Iterator[httpx.Client]:
    """A browser of somebody who may do everything."""
    with visit(api, api.key(Role.ADMINISTRATOR)) as browser:
        yield browser


def _fail(api: API, message: str, worker: str | None = None) -> dict[str, Any]:
    job = api.add_job(workers=[worker or api.add_worker()], fileName=HOSTILE)
    (task,) = api.tasks(job["id"])
    body = {"state": "failed", "message": message}
    answer = api.admin.put(f"/job/{job['id']}/task/{task['id']}", json=body)
    assert answer.status_code == 200, answer.text
    return {**job, "task": task["id"], "worker": task["worker"]}


@pytest.mark.parametrize("role", [Role.VIEWER, Role.USER, Role.ADMINISTRATOR])
def test_a_page_is_for_who_has_its_role_and_the_navigation_has_no_other(
    api: API, role: Role
):
    with visit(api, api.key(role)) as browser:
        navigation = browser.get("/").text.partition("<main")[0]
        for path, needed in PAGES.items():
            may = role.includes(needed)
            answer = browser.get(path)
            assert answer.status_code == (200 if may else 403), path
            assert browser.head(path).status_code == answer.status_code
            part = "/admin" if path.startswith("/admin/") else path
            if path != "/admin/webhooks":
                assert (f'href="{part}"' in navigation) == may, path


def test_failures_alike_stand_together_and_are_retried_together(api: API, admin: Any):
    worker, line = api.add_worker(), f"no rules {secrets.token_hex(4)}"
    failed = [_fail(api, f"{line}\nat {n}", worker) for n in range(3)]

    said = text_of(admin.get("/failures").text)
    sure = send(
        admin,
        "/jobs/bulk",
        verb="retry",
        which="ticked",
        job=[job["id"] for job in failed],
    )

    traced = f"Traceback (most recent call last):\n  File 1\nValueError: {line}"
    _fail(api, traced, worker)
    assert f"ValueError: {line} 1 task" in text_of(admin.get("/failures").text)
    found = re.search(rf"{worker} failed error {line} 3 tasks first .* last", said)
    assert found, said
    assert "Retry 3 jobs?" in text_of(sure.text)


def test_what_failed_with_hostile_words_is_only_read(api: API, admin: Any):
    _fail(api, HOSTILE)

    page = admin.get("/failures").text

    assert "<script>alert" not in page
    assert "{{7*7}}" in page
    assert "\u202e" not in page
    assert "\x1b" not in page


@pytest.mark.parametrize("analyse", [True, False])
def test_a_file_is_sent_in_by_a_form_without_any_script(
    api: API, admin: Any, *, analyse: bool
):
    content = secrets.token_bytes(100)
    form = {"csrf": word_of(admin.get("/samples").text)}
    if analyse:
        form["analyse"] = "yes"

    answer = admin.post("/samples", data=form, files={"file": ("a.bin", content)})

    assert answer.status_code == 303, answer.text
    shown = admin.get(answer.headers["Location"])
    assert answer.headers["Location"].startswith("/jobs/" if analyse else "/samples/")
    assert ("a.bin" in shown.text) == analyse


def test_a_file_is_sent_in_by_the_script_and_refused_without_its_word(
    api: API, admin: Any
):
    word = word_of(admin.get("/samples").text)
    body = {"content": secrets.token_bytes(100), "params": {"name": "a.bin"}}

    sent = admin.post("/samples", headers={"X-Assay-Form": word}, **body)
    forged = admin.post("/samples", headers={"X-Assay-Form": "x"}, **body)
    other = {"csrf": "x"}
    by_form = admin.post("/samples", data=other, files={"file": ("a.bin", b"x")})
    nothing = admin.post("/samples", data={"csrf": word}, files={"file": ("", b"")})

    assert sent.status_code == 201
    assert sent.headers["Location"].startswith("/samples/")
    assert forged.status_code == by_form.status_code == 403
    assert nothing.status_code == 412
    assert "choose a file" in nothing.text


def test_a_sample_shows_what_is_known_and_gives_its_bytes_to_who_is_sure(
    api: API, admin: Any
):
    content = b"#!/bin/sh\necho " + secrets.token_hex(8).encode()
    sha256 = api.upload(content)
    judged = send(
        admin, f"/samples/{sha256}/verdict", status="malicious", comment=HOSTILE
    )

    page = admin.get(f"/samples/{sha256}").text
    safe = send(admin, f"/samples/{sha256}/safe")
    unsure = send(admin, f"/samples/{sha256}/raw")
    raw = send(admin, f"/samples/{sha256}/raw", sure="yes")

    assert judged.status_code == 303, judged.text
    said = text_of(page)
    assert "malicious" in said
    assert "by hand" in said
    assert "<script>alert" not in page
    assert safe.content.startswith(b"PK")
    assert unsure.status_code == 412
    assert raw.content == content
    assert "attachment" in raw.headers["Content-Disposition"]
    taken = api.admin.get("/audit", params={"changed": sha256}).json()["data"]
    assert [row["action"] for row in taken].count("sample.download") == 2


def test_a_worker_is_paused_resumed_and_set_by_forms(api: API, admin: Any):
    name = api.add_worker()

    send(admin, f"/workers/{name}/pause")
    paused = text_of(admin.get(f"/workers/{name}").text)
    send(admin, f"/workers/{name}/resume")
    send(admin, f"/workers/{name}/overrides", weight="0.5", run_seconds="", x="1")
    wrong = send(admin, f"/workers/{name}/overrides", weight="heavy")
    too_much = send(admin, f"/workers/{name}/overrides", max_losses="-1")
    nothing = send(admin, f"/workers/{name}/overrides")

    assert f"{name} paused" in paused
    found = api.admin.get(f"/worker/{name}").json()["data"]
    assert (found["pausedTimestamp"], found["weight"]) == (None, 0.5)
    for refused in (wrong, too_much, nothing):
        assert refused.status_code == 412
    assert "weight" in wrong.text


def test_versions_stand_side_by_side_with_how_they_went(api: API, admin: Any):
    name = api.add_worker()
    for version, age in (("1", "2 h"), ("2", "1 h")):
        api.run(
            "INSERT INTO worker_version (worker_id, version, accepts, run_seconds,"
            " max_tlp, sends_data_out, created_at) SELECT id, :version, '{*}', 60,"
            " 'red', false, now() - CAST(:age AS interval) FROM worker"
            " WHERE short_name = :name RETURNING 1",
            version=version,
            age=age,
            name=name,
        )
    api.run("UPDATE worker SET version = '2' WHERE short_name = :n RETURNING 1", n=name)
    old, new = _fail(api, "no", name), _fail(api, "no", name)
    api.run(
        "UPDATE job_task SET started_at = now() - interval '100 min',"
        " ended_at = now() - interval '99 min' WHERE id = :id RETURNING 1",
        id=old["task"],
    )
    api.run(
        "UPDATE job_task SET started_at = ended_at - interval '3 s' WHERE id = :id"
        " RETURNING 1",
        id=new["task"],
    )

    said = text_of(admin.get(f"/workers/{name}").text)

    assert re.search(r"2 20\S+ \S+ 1 1 100.0 % 3.00 s 3.00 s", said), said
    assert re.search(r"1 20\S+ \S+ 1 1 100.0 % 1 min", said), said


def test_a_rule_is_tried_on_what_came_last_and_changes_nothing_until_it_is_made_so(
    api: API, admin: Any
):
    worker, sha256 = api.add_worker(), api.upload(b"%PDF-1.7 " + secrets.token_bytes(9))
    kind = api.admin.get(f"/sample/{sha256}/classification").json()["data"][0]["type"]
    rule = {
        "name": HOSTILE,
        "description": secrets.token_hex(4),
        "match": {"classification": {"type": [kind]}},
        "action": {"workers": {"add": [worker]}},
    }
    before = api.admin.get("/policy/default/rule").json()["data"]

    tried = send(admin, "/policy/rules", rule=json.dumps(rule), do="try")
    unchanged = api.admin.get("/policy/default/rule").json()["data"]
    wrong = send(admin, "/policy/rules", rule='{"name": 1}', do="try")
    made = send(admin, "/policy/rules", rule=json.dumps(rule), do="save")
    (added,) = [
        each
        for each in api.admin.get("/policy/default/rule").json()["data"]
        if each["description"] == rule["description"]
    ]
    page = admin.get("/policy").text
    changed = {**rule, "name": "plain", "action": {"workers": {"remove": [worker]}}}
    again = send(
        admin, "/policy/rules", rule=json.dumps(changed), do="save", id=added["id"]
    )
    gone = send(admin, f"/policy/rules/{added['id']}/delete", do="save")

    assert re.search(rf"{worker} [1-9]\d* 0", text_of(tried.text)), tried.text
    assert "Nothing has been changed" in tried.text
    assert unchanged == before
    assert wrong.status_code == 412
    assert made.status_code == again.status_code == gone.status_code == 303
    assert "<script>alert" not in page
    after = api.admin.get(f"/policy/default/rule/{added['id']}").json()["data"]
    assert (after["name"], after["flags"]) == ("plain", ["deleted"])


def test_every_rule_is_shown_as_it_can_be_given(api: API, admin: Any):
    worker = api.add_worker()
    forms: list[dict[str, Any]] = [
        {
            "match": {"classification": {"superType": [secrets.token_hex(4)]}},
            "action": {
                "workers": {"set": []},
                "options": {"add": [{"key": "a", "value": "b"}]},
            },
        },
        {
            "match": {
                "submission": {
                    "metaDataKey": ["k"],
                    "metaDataValue": [secrets.token_hex(4)],
                }
            },
            "action": {"workers": {"add": [worker], "remove": [worker]}},
        },
    ]
    for form in forms:
        body = {"name": "shown", "description": secrets.token_hex(4), **form}
        added = api.admin.post("/policy/default/rule", json=body).json()["data"]
        page = admin.get("/policy").text
        area = page.partition(f'id="rule-{added["id"]}"')[2].partition("</textarea>")[0]
        written = area.partition(">")[2].replace("&#34;", '"')
        send(admin, "/policy/rules", rule=written, do="save", id=added["id"])
        again = api.admin.get(f"/policy/default/rule/{added['id']}").json()["data"]
        assert (again["match"], again["action"]) == (added["match"], added["action"])
        send(admin, f"/policy/rules/{added['id']}/delete", do="save")


def test_keys_and_customers_are_made_and_ended_by_forms(api: API, admin: Any):
    name = f"c{secrets.token_hex(4)}"
    send(admin, "/admin/customers", short_name=name, name=MARKUP)
    twice = send(admin, "/admin/customers", short_name=name)
    form = {"user": f"u-{name}", "role": "user", "customer": name, "days": "3"}

    made = send(admin, "/admin/keys", label=MARKUP, **form)
    wrong = send(admin, "/admin/keys", **{**form, "days": "soon"})
    assert made.status_code == 200, text_of(made.text)
    (key,) = re.findall(r'id="issued">(assay_\w+_[\w-]+)<', made.text)
    with visit(api, key) as theirs:
        assert theirs.get("/jobs").status_code == 200
        revoked = send(admin, f"/admin/keys/{key.split('_')[1]}/revoke")
        assert theirs.get("/jobs").status_code == 401

    assert twice.status_code == wrong.status_code == 412
    assert revoked.status_code == 303
    assert key not in admin.get("/admin/keys").text
    for path in ("/admin/keys", "/admin/customers", "/admin/audit"):
        assert "<script>alert" not in admin.get(path).text


def test_poison_is_given_again_and_what_was_refused_is_only_read(api: API, admin: Any):
    worker, sha256 = api.add_worker(), api.upload()
    api.run(
        "INSERT INTO poison (sample_sha256, worker_id, version, deaths, first_at,"
        " last_at, poisoned_at) SELECT :sha256, id, '1', 3, now(), now(), now()"
        " FROM worker WHERE short_name = :name RETURNING 1",
        sha256=sha256,
        name=worker,
    )
    api.run(
        "INSERT INTO rejected_report (kind, reason, body, size_bytes)"
        " VALUES ('forged', :reason, CAST(:body AS bytea), 9) RETURNING 1",
        reason="no signature",
        body=HOSTILE.encode() + b"\xff\x00",
    )

    poison = text_of(admin.get("/admin/poison").text)
    rejected = admin.get("/admin/rejected").text
    send(admin, "/admin/poison/clear", sample=sha256, worker=worker)

    assert f"{sha256[:12]} {worker} 1 3" in poison
    assert "no signature" in rejected
    assert "<script>alert" not in rejected
    assert sha256[:12] not in text_of(admin.get("/admin/poison").text)


def test_a_webhook_is_added_tested_and_removed_by_forms(api: API):
    with visit(api, api.key(Role.USER)) as user:
        url = f"https://hooks.example/{secrets.token_hex(4)}"
        added = send(user, "/admin/webhooks", url=url, type=["job.done"])
        nothing = send(user, "/admin/webhooks", url=url)
        inner = send(user, "/admin/webhooks", url="http://10.0.0.1/", type=["job.done"])
        page = user.get("/admin/webhooks").text
        (path,) = re.findall(rf'href="(/admin/webhooks/[\w-]+)"><bdi[^>]*>{url}', page)
        send(user, f"{path}/test")
        shown = text_of(user.get(f"{path}?state=waiting").text)
        mistyped = send(user, f"{path}/tset")
        removed = send(user, f"{path}/remove")

        assert "whsec_" in added.text
        assert mistyped.status_code == 412
        assert "whsec_" not in page
        assert nothing.status_code == inner.status_code == 412
        assert "webhook.test waiting 0" in shown
        assert removed.headers["Location"] == "/admin/webhooks"
        assert user.get(path).status_code == 404


def test_the_next_page_of_what_a_webhook_was_told_is_of_the_same_kind(
    api: API, monkeypatch: Any
):
    monkeypatch.setattr(webhooks, "_ROWS", 1)
    with visit(api, api.key(Role.USER)) as user:
        url = f"https://hooks.example/{secrets.token_hex(4)}"
        page = send(user, "/admin/webhooks", url=url, type=["job.done"]).text
        (path,) = re.findall(rf'href="(/admin/webhooks/[\w-]+)"><bdi[^>]*>{url}', page)
        send(user, f"{path}/test")

        shown = user.get(f"{path}?state=waiting&state=parked").text

    assert f'href="{path}?state=waiting&amp;state=parked&amp;offset=1"' in shown


def test_a_limited_administrator_is_led_nowhere_that_is_refused(api: API):
    order = KeyOrder(
        user_name="limited", role=Role.ADMINISTRATOR, customers=["default"]
    )
    with api.services.database.uow() as tx:
        issued = create_key(tx, order, actor=Actor("test"))
    with visit(api, issued.secret) as browser:
        navigation = browser.get("/").text.partition("<main")[0]
        assert browser.get("/admin").status_code == 403

    assert 'href="/policy"' in navigation
    assert 'href="/admin"' not in navigation


def test_the_stream_of_failures_tells_of_failures_alone(api: API, admin: Any):
    with admin.stream("GET", "/stream?state=failed") as stream:
        failed = _fail(api, "no rules")
        lines = stream.iter_lines()
        first = next(line for line in lines if line.startswith("data: "))

    assert json.loads(first[6:])["state"] == "failed"
    assert failed["id"] in first


def test_the_same_by_command_is_what_can_be_typed(api: API, admin: Any):
    worker = api.add_worker()
    jobs = [_fail(api, "the same", worker)["id"] for _ in range(2)]
    sha256 = api.add_job()["analysedSample"]["id"]

    def told(path: str) -> str:
        return html.unescape(admin.get(path).text)

    kind = re.findall(r"<code>(for job in [^<]+)</code>", told("/failures"))
    assert any(all(job in command for job in jobs) for command in kind)
    assert "/find?q=not%20%24there" in told("/find?q=not+%24there")
    assert "-OJ" in told(f"/samples/{sha256}")
    assert "<code>assay job list --state done</code>" in told("/jobs?state=done")
    assert "<code>assay job list" not in told("/jobs?customer=default")


def test_a_text_that_is_too_long_is_counted_in_characters(admin: Any):
    said = text_of(admin.get(f"/samples?word={'x' * 300}").text)

    assert "at most 256 characters, not 300" in said
