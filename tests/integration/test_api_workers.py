"""
Registered workers over HTTP.
"""

from __future__ import annotations

import secrets
from typing import Any
from uuid import UUID

import pytest

from orchestrator.domain.values import Role
from tests.fixtures.api import API, first_message, worker_form

SCHEMA = {"type": "object", "properties": {"size": {"type": "integer"}}}


def _name() -> str:
    return f"w{secrets.token_hex(4)}"


def test_a_worker_is_found_by_id_and_by_short_name(api: API):
    name = _name()

    answer = api.admin.post("/worker", json=worker_form(name, schema=SCHEMA))

    assert answer.status_code == answer.json()["responseCode"] == 201, answer.text
    data = answer.json()["data"]
    assert data["shortName"] == name
    assert data["localizedName"] == name.upper()
    assert data["createdByUser"]["shortName"] == "test-administrator"
    assert data["flags"] == []
    assert (data["replicas"], data["slots"], data["backlog"]) == (0, 0, 0)
    assert "schema" not in data
    for known in (name, data["id"]):
        assert api.as_(Role.VIEWER).get(f"/worker/{known}").json()["data"] == data


def test_a_schema_is_given_bare(api: API):
    name = _name()
    api.admin.post("/worker", json=worker_form(name, schema=SCHEMA))

    assert api.admin.get(f"/worker/{name}/schema").json() == SCHEMA


def test_a_name_is_taken_once(api: API):
    name = api.add_worker()
    before = api.counts()

    answer = api.admin.post("/worker", json=worker_form(name))

    assert answer.status_code == 412
    assert first_message(answer)["field"] == "shortName"
    assert api.counts() == before


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"shortName": "a b"}, "shortName"),
        ({"shortName": ""}, "shortName"),
        ({"shortName": 1}, "shortName"),
        ({"localizedNames": {"norwegian": "x"}}, "localizedNames"),
        ({"localizedDescriptions": {}}, "localizedDescriptions"),
        ({"localizedNames": None}, "localizedNames"),
        ({"schema": {"type": "nonsense"}}, "schema"),
        ({"schema": []}, "schema"),
        ({"weight": 0}, "weight"),
        ({"weight": 1.5}, "weight"),
        ({"weight": "1"}, "weight"),
        ({"runSeconds": 0}, "runSeconds"),
        ({"maxLosses": 0}, "maxLosses"),
        ({"windowCap": 2**31}, "windowCap"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_wrong_worker_is_named_and_not_stored(
    api: API, changed: dict[str, Any], field: str
):
    before = api.counts()

    answer = api.admin.post("/worker", json=worker_form(_name()) | changed)

    assert answer.status_code == 412, answer.text
    assert first_message(answer)["field"].split(".")[0] == field
    assert api.counts() == before


def test_an_update_changes_what_is_given(api: API):
    name = api.add_worker()

    answer = api.admin.put(f"/worker/{name}", json={"weight": 0.5, "runSeconds": 30})

    data = answer.json()["data"]
    assert answer.status_code == 200, answer.text
    assert (data["weight"], data["runSeconds"]) == (0.5, 30)
    assert data["localizedName"] == name.upper()
    assert data["lastUpdatedByUser"]["shortName"] == "test-administrator"
    assert data["lastUpdatedTimestamp"] is not None


@pytest.mark.parametrize(
    ("body", "field"), [({}, "body"), ({"shortName": "other"}, "shortName")]
)
def test_an_update_that_cannot_be_is_named(api: API, body: dict[str, Any], field: str):
    answer = api.admin.put(f"/worker/{api.add_worker()}", json=body)

    assert answer.status_code == 412, answer.text
    assert first_message(answer)["field"] == field


def test_a_deleted_worker_is_only_listed_on_request(api: API):
    name = api.add_worker()

    answer = api.admin.delete(f"/worker/{name}")

    assert answer.status_code == 200
    assert answer.json()["data"]["flags"] == ["deleted"]
    assert answer.json()["data"]["deletedByUser"]["shortName"] == "test-administrator"
    for wanted, listed in (("False", False), ("TRUE", True), ("true", True)):
        found = api.admin.get(f"/worker?limit=0&includeDeleted={wanted}").json()
        assert (name in [worker["shortName"] for worker in found["data"]]) is listed


def test_deleting_may_be_repeated_and_the_first_time_stands(api: API):
    name = api.add_worker()

    first = api.admin.delete(f"/worker/{name}")
    again = api.admin.delete(f"/worker/{name}")

    assert again.status_code == 200
    assert again.json()["data"] == first.json()["data"]
    assert api.admin.put(f"/worker/{name}/pause").status_code == 404


def test_pausing_and_resuming_may_be_repeated(api: API):
    name = api.add_worker()

    for command, is_paused in (("pause", True), ("resume", False)):
        for _ in range(2):
            answer = api.admin.put(f"/worker/{name}/{command}")
            paused_at = answer.json()["data"]["pausedTimestamp"]
            assert (paused_at is not None) is is_paused


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/schema"),
        ("PUT", ""),
        ("DELETE", ""),
        ("PUT", "/pause"),
        ("PUT", "/resume"),
    ],
)
def test_an_unknown_worker_answers_404(api: API, method: str, path: str):
    answer = api.admin.request(
        method, f"/worker/nobody{path}", json={"weight": 1.0} if not path else None
    )

    assert answer.status_code == 404, answer.text
    assert first_message(answer)["field"] == "idOrShortName"


def test_workers_are_sorted_as_asked(api: API):
    first, second = sorted([api.add_worker(), api.add_worker()])

    up = api.admin.get("/worker?limit=0").json()
    down = api.admin.get("/worker?limit=0&sortBy=-shortName").json()

    names = [worker["shortName"] for worker in up["data"]]
    assert names.index(first) < names.index(second)
    assert [worker["shortName"] for worker in down["data"]] == names[::-1]
    assert up["count"] == up["size"] == len(names)


def test_what_runs_and_what_waits_is_shown(api: API):
    name = api.add_worker()
    api.add_job(workers=[name])
    worker = api.admin.get(f"/worker/{name}").json()["data"]
    for replica, ago in (("alive", 1), ("silent", 60)):
        api.run(
            "INSERT INTO replica (id, worker_id, version, slots, sequence, seen_at)"
            " VALUES (:id, :worker, '1', 4, 1, now() - make_interval(secs => :ago))",
            id=f"{name}-{replica}",
            worker=UUID(worker["id"]),
            ago=ago,
        )

    shown = api.admin.get(f"/worker/{name}").json()["data"]

    assert (shown["replicas"], shown["slots"], shown["backlog"]) == (1, 4, 1)


def test_replicas_that_stand_aside_say_since_when_and_why(api: API):
    name = api.add_worker()
    worker = api.admin.get(f"/worker/{name}").json()["data"]
    rows = (("well", 1, None), ("full", 1, "/tmp"), ("gone", 60, "away"))
    for replica, ago, why in rows:
        api.run(
            "INSERT INTO replica (id, worker_id, version, slots, sequence, seen_at,"
            " aside, aside_at) VALUES (:id, :worker, '1', 4, 1,"
            " now() - make_interval(secs => :ago), :why, now())",
            id=f"{name}-{replica}",
            worker=UUID(worker["id"]),
            ago=ago,
            why=why,
        )

    (aside,) = api.admin.get(f"/worker/{name}").json()["data"]["aside"]

    assert (aside["replica"], aside["why"]) == (f"{name}-full", "/tmp")
    assert aside["sinceTimestamp"] > worker["createdTimestamp"]


def test_a_replica_that_drains_is_seen_and_counts_no_slots(api: API):
    name = api.add_worker()
    for number in (1, 2):
        api.run(
            "INSERT INTO replica (id, worker_id, version, slots, sequence, seen_at,"
            " holds) SELECT :id, id, '1', 4, 1, now(), '{a.1}' FROM worker"
            " WHERE short_name = :worker",
            id=f"{name}-{number}@host",
            worker=name,
        )
    drained = f"/replica/{name}-1@host"

    told = api.admin.put(f"{drained}/drain").json()["data"]
    shown = api.admin.get(f"/worker/{name}").json()["data"]
    living = api.admin.get(f"/worker/{name}/replica").json()["data"]
    again = api.admin.put(f"{drained}/undrain").json()["data"]

    assert (told["id"], told["holds"]) == (f"{name}-1@host", 1)
    assert shown["draining"] == [
        {
            "replica": f"{name}-1@host",
            "sinceTimestamp": told["drainingTimestamp"],
            "holds": 1,
        }
    ]
    assert (shown["replicas"], shown["slots"]) == (2, 4)
    assert {each["id"] for each in living} == {f"{name}-1@host", f"{name}-2@host"}
    assert again["drainingTimestamp"] is None
    assert api.admin.get(f"/worker/{name}").json()["data"]["slots"] == 8
    assert api.admin.put("/replica/nobody/drain").status_code == 404
    assert api.as_(Role.ANALYZER).put(f"{drained}/drain").status_code == 403


def test_a_worker_whose_name_looks_like_an_id_goes_by_its_name(api: API):
    name = api.add_worker(secrets.token_hex(16))
    worker_id = api.admin.get(f"/worker/{name}").json()["data"]["id"]

    for named in (name, worker_id):
        assert api.admin.put(f"/worker/{named}/pause").status_code == 200
        assert api.admin.put(f"/worker/{named}/resume").status_code == 200
    assert api.admin.delete(f"/worker/{name}").json()["data"]["flags"] == ["deleted"]
