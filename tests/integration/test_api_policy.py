"""
The default policy and its rules, over HTTP and through the contract's own client.

There is one policy per database, so these tests take one of their own.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from argus_api.exceptions.http import ValidationErrorException
from argus_api.lib.sampledb.v2.policy import policy_default as client
from argus_api.session import ArgusAPISession

from orchestrator.domain.values import Role
from tests.fixtures.api import API, first_message

EVERYTHING = {"customer": {"customerOrGroup": ["default"]}}


@pytest.fixture(autouse=True)
def _without_rules(api: API) -> Iterator[None]:
    yield
    api.run(
        "UPDATE policy SET worker_ids = NULL, options = '{}',"
        " updated_by = NULL, updated_at = NULL"
    )
    api.run("UPDATE policy_rule SET deleted_at = now() WHERE deleted_at IS NULL")


def _rule(match: dict[str, Any], **action: Any) -> dict[str, Any]:
    return {"name": "a rule", "description": "", "match": match, "action": action}


def _add(api: API, match: dict[str, Any], **action: Any) -> str:
    answer = api.admin.post("/policy/default/rule", json=_rule(match, **action))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["data"]["id"])


def _ran(api: API, sha256: str | None = None) -> dict[str, dict[str, Any]]:
    order = {"sampleSha256": sha256 or api.upload()}
    answer = api.admin.post("/job", json=order)
    assert answer.status_code == 201, answer.text
    return {task["worker"]: task for task in api.tasks(answer.json()["data"]["id"])}


def test_until_somebody_sets_it_the_policy_has_every_worker_with_a_manifest(api: API):
    name = api.add_worker()

    before = api.admin.get("/policy/default").json()["data"]
    api.run("UPDATE worker SET version = '1' WHERE short_name = :name", name=name)
    after = api.admin.get("/policy/default").json()["data"]

    assert name not in {worker["shortName"] for worker in before["workers"]}
    assert name in {worker["shortName"] for worker in after["workers"]}
    assert after["lastUpdatedByUser"] is None


def test_a_deleted_worker_is_in_the_policy_no_more(api: API):
    stays, gone = api.add_worker(), api.add_worker()
    api.admin.put("/policy/default", json={"workers": [stays, gone]})

    assert api.admin.delete(f"/worker/{gone}").status_code == 200
    shown = api.admin.get("/policy/default").json()["data"]["workers"]
    names = [worker["shortName"] for worker in shown]

    assert names == [stays]
    assert api.admin.put("/policy/default", json={"workers": names}).status_code == 200


def test_a_policy_decides_who_runs_and_with_which_options(api: API):
    first, second = api.add_worker(), api.add_worker()
    api.admin.put(
        "/policy/default",
        json={
            "workers": [first],
            "options": [{"key": "depth", "value": "2"}],
        },
    )

    ran = _ran(api)

    assert first in ran
    assert second not in ran
    assert ran[first]["options"] == {"depth": "2"}


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({}, "body"),
        ({"workers": []}, "workers"),
        ({"workers": ["nobody-has-this"]}, "workers"),
        ({"workers": "yara"}, "workers"),
        ({"options": [{"key": "a", "value": "1"}] * 2}, "options"),
        ({"options": [{"key": "a"}]}, "options.0.value"),
        ({"options": [{"key": "a", "value": 1}]}, "options.0.value"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_wrong_policy_changes_nothing(api: API, changed: dict[str, Any], field: str):
    before = api.admin.get("/policy/default").json()["data"]

    answer = api.admin.put("/policy/default", json=changed)

    assert answer.status_code == 412
    assert first_message(answer)["field"] == field
    assert api.admin.get("/policy/default").json()["data"] == before


def test_rules_add_workers_and_options_in_the_order_of_their_kinds(api: API):
    base, extra = api.add_worker(), api.add_worker()
    api.admin.put("/policy/default", json={"workers": [base]})
    set_one = [{"key": "a", "value": "by customer"}]
    add_one = [{"key": "a", "value": "by type"}, {"key": "b", "value": "by type"}]
    _add(api, EVERYTHING, workers={"add": [extra]}, options={"add": set_one})
    _add(api, {"classification": {"type": ["text"]}}, options={"add": add_one})

    ran = _ran(api, api.upload(b"plain text " + secrets.token_hex(8).encode()))

    assert set(ran) == {base, extra}
    assert ran[base]["options"] == {"a": "by customer", "b": "by type"}


def test_a_rule_removes_what_the_policy_has(api: API):
    kept, removed = api.add_worker(), api.add_worker()
    api.admin.put("/policy/default", json={"workers": [kept, removed]})
    _add(api, EVERYTHING, workers={"remove": [removed]})

    assert set(_ran(api)) == {kept}


def test_a_rule_sets_nobody_and_adds_one(api: API):
    first, second, third = (api.add_worker() for _ in range(3))
    api.admin.put("/policy/default", json={"workers": [first, second]})
    rule_id = _add(api, EVERYTHING, workers={"set": [], "add": [third]})

    shown = api.admin.get(f"/policy/default/rule/{rule_id}").json()["data"]

    assert set(_ran(api)) == {third}
    assert shown["action"]["workers"]["set"] == []


def test_a_rule_may_set_nobody_at_all(api: API):
    api.admin.put("/policy/default", json={"workers": [api.add_worker()]})
    _add(api, EVERYTHING, workers={"set": []})

    assert _ran(api) == {}


def test_a_deleted_rule_stays_readable_and_has_no_effect(api: API):
    kept, removed = api.add_worker(), api.add_worker()
    api.admin.put("/policy/default", json={"workers": [kept, removed]})
    rule_id = _add(api, EVERYTHING, workers={"remove": [removed]})

    first = api.admin.delete(f"/policy/default/rule/{rule_id}").json()["data"]
    again = api.admin.delete(f"/policy/default/rule/{rule_id}").json()["data"]

    assert first == again
    assert first["flags"] == ["deleted"]
    assert first["deletedByUser"]["shortName"] == "test-administrator"
    assert api.admin.get(f"/policy/default/rule/{rule_id}").json()["data"] == first
    assert set(_ran(api)) == {kept, removed}
    changed = api.admin.put(f"/policy/default/rule/{rule_id}", json={"name": "x"})
    assert changed.status_code == 404


@pytest.mark.parametrize(
    ("match", "action", "field"),
    [
        ({}, {"workers": {"add": ["w"]}}, "match"),
        (
            {**EVERYTHING, "classification": {"type": ["elf"]}},
            {"workers": {"add": ["w"]}},
            "match",
        ),
        (
            {"customer": {"customerOrGroup": []}},
            {"workers": {"add": ["w"]}},
            "match.customer.customerOrGroup",
        ),
        (
            {"customer": {"customerOrGroup": ["nobody"]}},
            {"options": {"remove": ["a"]}},
            "customer",
        ),
        ({"classification": {}}, {"workers": {"add": ["w"]}}, "match.classification"),
        (
            {"submission": {"metaDataKey": ["k"]}},
            {"workers": {"add": ["w"]}},
            "match.submission.metaDataValue",
        ),
        (EVERYTHING, {}, "action"),
        (EVERYTHING, {"workers": {"set": ["unheard"]}}, "action.workers.set"),
    ],
)
def test_a_wrong_rule_is_refused(
    api: API, match: dict[str, Any], action: dict[str, Any], field: str
):
    before = api.run("SELECT count(*) FROM policy_rule")[0]

    answer = api.admin.post("/policy/default/rule", json=_rule(match, **action))

    assert answer.status_code == 412, answer.text
    assert first_message(answer)["field"] == field
    assert api.run("SELECT count(*) FROM policy_rule")[0] == before


@pytest.mark.parametrize(
    ("first", "second", "conflicts"),
    [
        (EVERYTHING, EVERYTHING, True),
        (
            {"classification": {"type": ["a", "b"]}},
            {"classification": {"type": ["b", "c"]}},
            True,
        ),
        (
            {"classification": {"type": ["a"]}},
            {"classification": {"type": ["a"], "superType": ["s"]}},
            False,
        ),
        (
            {"classification": {"type": ["a"]}},
            {"classification": {"superType": ["a"]}},
            False,
        ),
        (
            {"submission": {"metaDataKey": ["k"], "metaDataValue": ["1", "2"]}},
            {"submission": {"metaDataKey": ["k"], "metaDataValue": ["2"]}},
            True,
        ),
        (
            {"submission": {"metaDataKey": ["k"], "metaDataValue": ["1"]}},
            {"submission": {"metaDataKey": ["k2"], "metaDataValue": ["1"]}},
            False,
        ),
    ],
)
def test_two_rules_never_decide_about_the_same(
    api: API, first: dict[str, Any], second: dict[str, Any], *, conflicts: bool
):
    changes = {"options": {"remove": ["x"]}}
    rule_id = _add(api, first, **changes)

    answer = api.admin.post("/policy/default/rule", json=_rule(second, **changes))

    assert answer.status_code == (412 if conflicts else 201), answer.text
    if conflicts:
        assert first_message(answer)["field"] == "match"
    # A rule does not contradict itself.
    same = api.admin.put(f"/policy/default/rule/{rule_id}", json={"match": first})
    assert same.status_code == 200


def test_what_would_run_is_said_before_anything_is_submitted(api: API):
    base, extra, other = api.add_worker(), api.add_worker(), api.add_worker()
    options = [{"key": "depth", "value": "1"}]
    api.admin.put("/policy/default", json={"workers": [base], "options": options})
    match = {"submission": {"metaDataKey": ["from"], "metaDataValue": ["mail"]}}
    _add(api, match, workers={"add": [extra]})
    content = b"#!/bin/sh\n" + secrets.token_hex(8).encode()
    before = api.counts()

    answer = api.as_(Role.UPLOADER).post(
        "/policy/default/explain",
        params={"metaData": ["from=mail", "to=us"], "tlp": "green"},
        content=content,
    )

    assert answer.status_code == 200, answer.text
    found = answer.json()["data"]
    assert found["sha256"] == hashlib.sha256(content).hexdigest()
    assert found["classification"]["type"] == "script"
    assert found["options"] == options
    choices = {choice["worker"]: choice for choice in found["workers"]}
    assert choices[base]["selected"]
    assert (choices[extra]["selected"], choices[extra]["rule"]) == (True, "a rule")
    assert not choices[other]["selected"]
    assert api.counts() == before
    assert api.staged() == []
    # The same as a job says of itself, afterwards.
    job = api.admin.post("/job", json={"sampleSha256": api.upload(content)}).json()
    said = api.admin.get(f"/job/{job['data']['id']}/explain").json()["data"]["workers"]
    assert {choice["worker"] for choice in said} == set(choices)
    assert {choice["worker"]: choice["selected"] for choice in said}[base]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"metaData": "no-equals"}, "metaData"), ({"tlp": "red"}, "tlp")],
)
def test_a_wrong_question_about_a_file_names_the_field(
    api: API, wrong: dict[str, str], field: str
):
    answer = api.admin.post("/policy/default/explain", params=wrong, content=b"x")

    assert answer.status_code == 412
    assert first_message(answer)["field"] == field


def test_only_administrators_see_or_change_them(api: API):
    for role in set(Role) - {Role.ADMINISTRATOR}:
        somebody = api.as_(role)
        rule = f"/policy/default/rule/{uuid4()}"
        form = _rule(EVERYTHING, options={"remove": ["x"]})
        answers = [
            somebody.get("/policy/default"),
            somebody.put("/policy/default", json={"options": []}),
            somebody.get("/policy/default/rule"),
            somebody.post("/policy/default/rule", json=form),
            somebody.get(rule),
            somebody.put(rule, json={"name": "x"}),
            somebody.delete(rule),
        ]
        assert {answer.status_code for answer in answers} == {403}
    assert api.admin.get("/policy/default/rule").json()["data"] == []


def test_the_contracts_client_does_all_of_it(api: API):
    session = ArgusAPISession(api.key(Role.ADMINISTRATOR), api_url=api.url)
    name = api.add_worker()

    set_to = client.update_default_analysis_policy(
        workers=[name], options=[{"key": "k", "value": "v"}], api_session=session
    )
    added = client.add_default_analysis_rule(
        name="n",
        description="d",
        match={"customer": {"customerOrGroup": ["default"]}},
        action={"workers": {"add": [name]}},
        api_session=session,
    )
    rule_id = added["data"]["id"]
    client.update_default_analysis_rule(id=rule_id, name="m", api_session=session)

    assert set_to["data"]["workers"][0]["shortName"] == name
    assert client.get_default_analysis_policy(api_session=session)["data"]["options"]
    found = client.get_default_analysis_policy_rule(id=rule_id, api_session=session)[
        "data"
    ]
    assert found["name"] == "m"
    assert found["description"] == "d"
    customers = found["match"]["customer"]["customer"]
    assert [customer["shortName"] for customer in customers] == ["default"]
    assert found["action"]["workers"]["add"][0]["shortName"] == name
    listed = client.list_default_analysis_rules(api_session=session)
    assert [rule["id"] for rule in listed["data"]] == [rule_id]
    client.delete_default_analysis_rule(id=rule_id, api_session=session)
    assert client.list_default_analysis_rules(api_session=session)["count"] == 0
    with pytest.raises(ValidationErrorException, match="workers"):
        client.update_default_analysis_policy(workers=["?"], api_session=session)
