"""
Customers: each sees its own, and what somebody lets it see.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from orchestrator.catalog import keys
from orchestrator.catalog.keys import KeyOrder
from orchestrator.domain.errors import ConflictError, InvalidError
from orchestrator.domain.limits import Retention
from orchestrator.domain.values import Actor, Role
from orchestrator.flow.prune import prune
from tests.fixtures.api import API, first_message

ANALYSIS = {
    "customer": "default",
    "userAgent": {"name": "by-hand", "version": "1"},
    "tlp": "amber",
    "analysisResult": {"found": 1},
    "analysisScore": 10,
}


@dataclass(kw_only=True)
class Customer:
    """A customer of a test's own, and a client of one of its users."""

    name: str
    user: str
    client: httpx.Client

    def upload(self, content: bytes | None = None) -> str:
        body = secrets.token_bytes(32) if content is None else content
        answer = self.client.post("/sample", content=body)
        assert answer.status_code in {200, 201}, answer.text
        return str(answer.json()["data"]["sample"]["id"])


def _key(api: API, **order: Any) -> str:
    with api.services.database.uow() as tx:
        return keys.create_key(tx, KeyOrder(**order), actor=Actor("test")).secret


def _customer(api: API, role: Role = Role.USER) -> Customer:
    name = f"c{secrets.token_hex(4)}"
    with api.services.database.uow() as tx:
        keys.add_customer(tx, name, name.upper(), actor=Actor("test"))
    key = _key(api, user_name=f"u-{name}", role=role, customer=name)
    return Customer(name=name, user=f"u-{name}", client=api.with_key(key))


@pytest.fixture
def blue(api: API) -> Customer:
    return _customer(api)


@pytest.fixture
def red(api: API) -> Customer:
    return _customer(api)


def test_a_sample_is_seen_by_whoever_has_its_bytes(
    api: API, blue: Customer, red: Customer
):
    content = secrets.token_bytes(32)
    sha256 = blue.upload(content)
    for path in ("", "/raw", "/classification", "/analysis", "/verdict"):
        refused = red.client.get(f"/sample/{sha256}{path}")
        assert refused.status_code == 403, path
        assert first_message(refused)["field"] == "sha256"

    assert red.upload(content) == sha256

    assert red.client.get(f"/sample/{sha256}").status_code == 200
    assert red.client.get(f"/sample/{sha256}/raw").content == content


def test_jobs_are_seen_by_their_customer(api: API, blue: Customer, red: Customer):
    sha256 = blue.upload()
    worker = api.add_worker()
    order = {"sampleSha256": sha256, "workers": [worker]}
    job = blue.client.post("/job", json=order).json()["data"]
    foreign = f"/job/{job['id']}"
    before = api.counts()

    refused = [
        red.client.get(foreign),
        red.client.get(f"{foreign}/tasks"),
        red.client.get(f"{foreign}/explain"),
        red.client.put(f"{foreign}/cancel"),
        red.client.put(f"{foreign}/retry"),
        red.client.post("/job", json=order),
        red.client.put(f"/sample/{sha256}/reanalyse"),
    ]

    assert {answer.status_code for answer in refused} == {403}
    assert api.counts() == before
    assert job["customer"]["shortName"] == blue.name
    assert red.client.get("/job").json()["count"] == 0
    assert red.client.post("/job/search", json={}).json()["count"] == 0
    assert [found["id"] for found in blue.client.get("/job").json()["data"]] == [
        job["id"]
    ]
    assert api.admin.get(foreign).json()["data"]["state"] == "enqueued"


def test_analysers_see_every_customers(api: API, blue: Customer):
    sha256 = blue.upload()

    assert api.as_(Role.ANALYZER).get(f"/sample/{sha256}").status_code == 200
    assert api.as_(Role.USER).get(f"/sample/{sha256}").status_code == 403


@pytest.mark.parametrize(
    ("tlp", "named", "seen"),
    [
        ("clear", False, True),
        ("green", False, True),
        ("amber", False, False),
        ("red", False, False),
        ("amber", True, True),
        ("red", True, True),
    ],
)
def test_an_analysis_is_seen_as_far_as_it_may_travel(
    api: API, blue: Customer, tlp: str, *, named: bool, seen: bool
):
    sha256 = blue.upload()
    acl = [blue.user] if named else []
    given = ANALYSIS | {"tlp": tlp, "acl": acl}
    added = api.admin.post(f"/sample/{sha256}/analysis", json=given)
    assert added.status_code == 200, added.text
    found = added.json()["data"]
    assert [entry["subject"]["name"] for entry in found["acl"]] == acl
    path = f"/sample/{sha256}/analysis"

    listed = blue.client.get(path).json()
    single = blue.client.get(f"{path}/{found['analysisID']}")

    assert listed["count"] == listed["size"] == int(seen)
    assert single.status_code == (200 if seen else 403)


def test_nobody_adds_an_analysis_for_a_customer_that_is_not_theirs(
    api: API, blue: Customer
):
    key = _key(
        api,
        user_name=f"a{secrets.token_hex(4)}",
        role=Role.ANALYZER,
        customers=["default"],
    )
    sha256 = api.upload()
    given = ANALYSIS | {"customer": blue.name}
    before = api.counts()

    answer = api.with_key(key).post(f"/sample/{sha256}/analysis", json=given)

    assert answer.status_code == 403
    assert first_message(answer)["field"] == "customer"
    assert api.counts() == before


def test_a_key_may_do_less_than_its_user(api: API):
    name = f"k{secrets.token_hex(4)}"
    key = _key(api, user_name=name, role=Role.ADMINISTRATOR, key_role=Role.VIEWER)

    assert api.with_key(key).get("/job").status_code == 200
    assert api.with_key(key).get("/policy/default").status_code == 403


def test_a_key_for_some_customers_sees_those(api: API, blue: Customer, red: Customer):
    name = f"k{secrets.token_hex(4)}"
    key = _key(api, user_name=name, role=Role.ANALYZER, customers=[blue.name])

    assert api.with_key(key).get(f"/sample/{blue.upload()}").status_code == 200
    assert api.with_key(key).get(f"/sample/{red.upload()}").status_code == 403


@pytest.mark.parametrize(
    ("network", "status"),
    [("127.0.0.0/8", 200), ("10.0.0.0/8", 401), ("2001:db8::/32", 401)],
)
def test_a_key_works_from_its_networks(api: API, network: str, status: int):
    name = f"k{secrets.token_hex(4)}"
    key = _key(api, user_name=name, role=Role.USER, networks=[network])

    answer = api.with_key(key).get("/job")

    assert answer.status_code == status
    if status == 401:
        assert "127.0.0.1" in first_message(answer)["message"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"networks": ["10.0.0.0/64"]}, "network"),
        ({"customers": ["nobody"]}, "customer"),
        ({"customer": "nobody"}, "customer"),
        ({"key_role": Role.ADMINISTRATOR}, "key-role"),
    ],
)
def test_a_wrong_limit_issues_no_key(api: API, wrong: dict[str, Any], field: str):
    before = api.run("SELECT count(*) FROM api_key")[0]

    with pytest.raises(InvalidError) as caught:
        _key(api, user_name=f"n{secrets.token_hex(4)}", role=Role.USER, **wrong)

    assert caught.value.field == field
    assert api.run("SELECT count(*) FROM api_key")[0] == before


def test_a_user_keeps_its_customer(api: API, blue: Customer, red: Customer):
    with pytest.raises(InvalidError) as caught:
        _key(api, user_name=blue.user, role=Role.USER, customer=red.name)

    assert caught.value.field == "customer"


@pytest.mark.parametrize("name", ["", "two words", "a" * 65, "default"])
def test_a_customers_name_is_short_and_its_own(api: API, name: str):
    with (
        pytest.raises((InvalidError, ConflictError)) as caught,
        api.services.database.uow() as tx,
    ):
        keys.add_customer(tx, name, name, actor=Actor("test"))

    assert caught.value.field == "shortName"


# Keys that are limited to customers.


@pytest.fixture
def limited(api: API, blue: Customer) -> httpx.Client:
    """An analyser of the default customer, with a key for blue alone."""
    name = f"k{secrets.token_hex(4)}"
    key = _key(api, user_name=name, role=Role.ANALYZER, customers=[blue.name])
    return api.with_key(key)


def test_a_key_for_one_other_customer_acts_for_that_one(
    api: API, blue: Customer, red: Customer, limited: httpx.Client
):
    answer = limited.post("/sample", content=secrets.token_bytes(32))
    sha256 = answer.json()["data"]["sample"]["id"]
    order = {"sampleSha256": sha256, "workers": [api.add_worker()]}
    ordered = limited.post("/job", json=order).json()["data"]

    assert ordered["customer"]["shortName"] == blue.name
    assert limited.get(f"/job/{ordered['id']}").status_code == 200
    assert blue.client.get(f"/sample/{sha256}").status_code == 200
    assert red.client.get(f"/sample/{sha256}").status_code == 403
    assert api.as_(Role.USER).get(f"/sample/{sha256}").status_code == 403


def test_a_key_that_its_users_customer_is_not_in_does_nothing_for_it(
    api: API, blue: Customer, red: Customer
):
    name = f"k{secrets.token_hex(4)}"
    order = {"user_name": name, "role": Role.USER, "customer": blue.name}
    client = api.with_key(_key(api, **order, customers=[red.name]))
    several = {"role": Role.ANALYZER, "customers": [blue.name, red.name]}
    both = api.with_key(_key(api, user_name=f"b{secrets.token_hex(4)}", **several))
    sha256 = blue.upload()
    before = api.counts()

    refused = [
        somebody.post(path, **body)
        for somebody in (client, both)
        for path, body in (
            ("/sample", {"content": secrets.token_bytes(16)}),
            ("/job", {"json": {"sampleSha256": sha256}}),
            ("/policy/default/explain", {"content": b"x"}),
        )
    ]
    refused.append(both.put(f"/sample/{sha256}/reanalyse"))

    assert {answer.status_code for answer in refused} == {403}
    assert api.counts() == before
    assert not api.staged()


def test_what_somebody_else_shows_a_user_passes_no_limit_of_its_key(
    api: API, blue: Customer, red: Customer
):
    name = f"k{secrets.token_hex(4)}"
    whole = _key(api, user_name=name, role=Role.USER, customer=red.name)
    limited = _key(
        api,
        user_name=name,
        role=Role.USER,
        customer=red.name,
        customers=["default"],
    )
    uploaded = blue.client.post("/sample", content=secrets.token_bytes(32))
    data = uploaded.json()["data"]
    path = f"/sample/{data['sample']['id']}"
    form = {
        "challengeToken": data["challenge"],
        "fileName": "shown.bin",
        "userAgent": {"name": "by-hand", "version": "1"},
        "acl": [name],
    }
    assert blue.client.post(f"{path}/submission", json=form).status_code == 201

    assert api.with_key(whole).get(f"{path}/raw").status_code == 200
    assert api.with_key(limited).get(f"{path}/raw").status_code == 403
    assert api.with_key(limited).get("/submission").json()["count"] == 0


def test_access_ends_with_the_last_submission_that_gives_it(
    api: API, blue: Customer, red: Customer
):
    def submit(client: httpx.Client, *acl: str, **fields: str) -> dict[str, Any]:
        data = client.post("/sample", content=content).json()["data"]
        form = {
            "challengeToken": data["challenge"],
            "fileName": secrets.token_hex(4),
            "userAgent": {"name": "by-hand", "version": "1"},
            "acl": acl,
        }
        answer = client.post(f"{path}/submission", json=form | fields)
        assert answer.status_code == 201, answer.text
        return {"token": data["challenge"], **answer.json()["data"]}

    def sees() -> list[int]:
        clients = (blue.client, red.client)
        return [client.get(f"{path}/raw").status_code for client in clients]

    content = secrets.token_bytes(32)
    sha256 = hashlib.sha256(content).hexdigest()
    path = f"/sample/{sha256}"
    short = {"retention": "now + 1 hour"}
    first = submit(blue.client, red.user, red.user, **short)
    submit(blue.client)
    assert sees() == [200, 200]

    _expire(api, sha256)
    assert sees() == [200, 403]
    used = {"challengeToken": first["token"], "fileName": "again.bin"}
    agent = {"userAgent": {"name": "by-hand", "version": "1"}}
    again = blue.client.post(f"{path}/submission", json=used | agent)
    assert again.status_code == 412, again.text

    api.run(
        "UPDATE submission SET expires_at = now() WHERE sample_sha256 = :sample",
        sample=sha256,
    )
    _expire(api, sha256)
    assert sees() == [403, 403]
    assert blue.client.get("/sample").json()["count"] == 0


def _expire(api: API, sha256: str) -> None:
    api.run(
        "UPDATE submission SET expires_at = expires_at - interval '2 hours'"
        " WHERE sample_sha256 = :sample",
        sample=sha256,
    )
    prune(api.services.database, Retention())


@pytest.mark.parametrize(
    "path",
    [
        "/sample",
        "/sample?keywords=abc",
        "/sample?keywords=a&sortBy=sampleSize",
        "/sample?sortBy=sampleSize",
        "/submission",
        "/submission?keywords=abc",
        "/submission?keywords=a&limit=0",
        "/submission?sortBy=fileName",
        "/job",
        "/job?state=done",
    ],
)
def test_a_key_for_nobodys_things_sees_none(api: API, red: Customer, path: str):
    name = f"k{secrets.token_hex(4)}"
    order = {"user_name": name, "role": Role.USER, "customer": red.name}
    client = api.with_key(_key(api, **order, customers=["default"]))

    answer = client.get(path)

    assert answer.status_code == 200, answer.text
    assert (answer.json()["data"], answer.json()["count"]) == ([], 0)


def test_own_submissions_and_those_that_others_show_are_one_list_by_age(
    api: API, blue: Customer, red: Customer
):
    def submit(client: httpx.Client, observed: str, *acl: str) -> str:
        uploaded = client.post("/sample", content=secrets.token_bytes(32)).json()
        form = {
            "challengeToken": uploaded["data"]["challenge"],
            "fileName": "listed.bin",
            "userAgent": {"name": "by-hand", "version": "1"},
            "observedTimestamp": observed,
            "acl": acl,
        }
        sha256 = uploaded["data"]["sample"]["id"]
        answer = client.post(f"/sample/{sha256}/submission", json=form)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["data"]["id"])

    oldest = submit(blue.client, "now - 5 days")
    shown = submit(red.client, "now - 4 days", blue.user)
    submit(red.client, "now - 3 days")
    own_too = submit(blue.client, "now - 2 days", blue.user)
    shown_last = submit(red.client, "now - 1 day", blue.user)
    every = [shown_last, own_too, shown, oldest]

    for words in ({}, {"keywords": "listed.bin"}, {"sortBy": "-observedTimestamp"}):
        for offset in range(5):
            page = blue.client.get(
                "/submission", params={**words, "limit": 2, "offset": offset}
            ).json()
            found = [submission["id"] for submission in page["data"]]
            assert (found, page["count"]) == (every[offset : offset + 2], 4)
    later: dict[str, str | int] = {"indexStartTimestamp": "now - 60 hours", "limit": 0}
    recent = blue.client.get("/submission", params=later).json()
    assert [submission["id"] for submission in recent["data"]] == every[:2]


def test_an_administrator_of_some_customers_changes_nothing_for_others(
    api: API, blue: Customer, red: Customer
):
    name = f"k{secrets.token_hex(4)}"
    key = _key(api, user_name=name, role=Role.ADMINISTRATOR, customers=[blue.name])
    client, worker = api.with_key(key), api.add_worker()

    def rule(match: dict[str, Any]) -> dict[str, Any]:
        action = {"workers": {"add": [worker]}}
        return {"name": "r", "description": "", "match": match, "action": action}

    def of(*names: str) -> dict[str, Any]:
        return {"customer": {"customerOrGroup": list(names)}}

    everybody = {"classification": {"type": [secrets.token_hex(4)]}}
    others = api.admin.post("/policy/default/rule", json=rule(everybody)).json()["data"]
    own = client.post("/policy/default/rule", json=rule(of(blue.name)))
    before = api.counts(), api.run("SELECT count(*), max(updated_at) FROM policy_rule")

    refused = [
        client.post("/policy/default/rule", json=rule(of(red.name))),
        client.post("/policy/default/rule", json=rule(of(blue.name, red.name))),
        client.post("/policy/default/rule", json=rule(everybody)),
        client.put(
            f"/policy/default/rule/{own.json()['data']['id']}",
            json={"match": of(red.name)},
        ),
        client.put(f"/policy/default/rule/{others['id']}", json={"name": "mine"}),
        client.delete(f"/policy/default/rule/{others['id']}"),
        client.put("/policy/default", json={"workers": [worker]}),
        client.put(f"/worker/{worker}", json={"weight": 0.5}),
        client.put(f"/worker/{worker}/pause"),
        client.put(f"/worker/{worker}/resume"),
        client.delete(f"/worker/{worker}"),
    ]

    assert own.status_code == 201, own.text
    assert [answer.status_code for answer in refused] == [403] * len(refused)
    after = api.counts(), api.run("SELECT count(*), max(updated_at) FROM policy_rule")
    assert after == before
    for added in (own.json()["data"], others):
        api.admin.delete(f"/policy/default/rule/{added['id']}")


# What verdicts, and the tasks behind them, show of analyses.


def _judged(api: API, blue: Customer, red: Customer, tlp: str) -> tuple[str, str]:
    """Let blue's task end with an analysis; return the sample, of both, and the job."""
    content = secrets.token_bytes(32)
    sha256 = blue.upload(content)
    assert red.upload(content) == sha256
    worker = api.add_worker()
    order = {"sampleSha256": sha256, "workers": [worker]}
    job = blue.client.post("/job", json=order).json()["data"]["id"]
    given = ANALYSIS | {
        "customer": blue.name,
        "tlp": tlp,
        "analysisScore": 90,
        "tags": [{"type": "family", "value": f"campaign-{sha256[:12]}"}],
        "triggeredDetections": [{"name": "Targeted", "assessment": "malicious"}],
    }
    added = api.admin.post(f"/sample/{sha256}/analysis", json=given).json()["data"]
    (task,) = api.tasks(job)
    said = {"state": "success", "analyses": [added["analysisID"]]}
    answer = api.admin.put(f"/job/{job}/task/{task['id']}", json=said)
    assert answer.status_code == 200, answer.text
    return sha256, job


@pytest.mark.parametrize(
    ("tlp", "blues", "reds"),
    [("clear", True, True), ("amber", True, False), ("red", False, False)],
)
def test_a_verdict_shows_what_it_comes_to_and_only_the_analyses_one_may_see(
    api: API, blue: Customer, red: Customer, tlp: str, *, blues: bool, reds: bool
):
    sha256, job = _judged(api, blue, red, tlp)
    word = f"campaign-{sha256[:12]}"

    for client, is_shown in ((blue.client, blues), (red.client, reds)):
        (listed,) = client.get(f"/sample/{sha256}/verdict").json()["data"]
        latest = client.get(f"/sample/{sha256}").json()["data"]["latestVerdict"]
        found = [
            client.get("/sample", params={"keywords": word, **more}).json()["count"]
            for more in ({}, {"keywordFieldStrategy": "verdict"})
        ]

        assert listed == latest
        assert (listed["score"], listed["status"]) == (90, "malicious")
        assert len(listed["analysis"]) == len(listed["tags"]) == int(is_shown)
        # Other workers of the policy stand there too: they did not run.
        (part,) = (
            contribution
            for contribution in listed["contributions"]
            if contribution["score"] == 90
        )
        assert (part["analysisID"] is not None) == is_shown
        assert found == [int(is_shown)] * 2
    shown = api.admin.get(f"/sample/{sha256}/verdict").json()["data"][0]
    assert shown["tags"][0]["value"] == word
    own, other = (
        customer.client.get(f"/sample/{sha256}/verdict").json()["data"][0]["job"]
        for customer in (blue, red)
    )
    assert own["id"] == job
    assert other is None
    (task,) = blue.client.get(f"/job/{job}/tasks").json()["data"]
    assert len(task["analyses"]) == int(blues)


def test_an_order_tells_nothing_of_what_is_hidden(
    api: API, blue: Customer, red: Customer
):
    first, second = red.upload(), red.upload()
    for sha256, tlp, customer in (
        (first, "clear", red.name),
        (second, "clear", red.name),
        (first, "red", blue.name),
    ):
        given = ANALYSIS | {"tlp": tlp, "customer": customer, "analysisScore": 1}
        answer = api.admin.post(f"/sample/{sha256}/analysis", json=given)
        assert answer.status_code == 200, answer.text

    listed = red.client.get("/sample?sortBy=-lastUpdatedAnalysis").json()["data"]

    assert [sample["sha256"] for sample in listed] == [second, first]
