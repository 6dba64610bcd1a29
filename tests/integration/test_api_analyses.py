"""
Analyses and verdicts over HTTP.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from orchestrator.domain.values import Role
from tests.fixtures.api import API, first_message

ANALYSIS: dict[str, Any] = {
    "customer": "default",
    "userAgent": {"name": "hand", "version": "1.2"},
    "tlp": "green",
    "analysisResult": {"strings": ["a", 1, None]},
    "analysisScore": 42,
    "profile": "quick",
    "executedWithInternetAccess": True,
    "possibleDetections": 60,
    "triggeredDetections": [{"name": "Eicar", "assessment": "malicious"}],
    "tags": [{"type": "family", "value": "eicar"}],
    "verdictStatusOverride": "malicious",
}


def test_an_analysis_is_given_back_as_it_came(api: API):
    sha256 = api.upload()

    answer = api.as_(Role.ANALYZER).post(f"/sample/{sha256}/analysis", json=ANALYSIS)

    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    kept = {name: data[name] for name in ANALYSIS if name in data}
    expected = {name: ANALYSIS[name] for name in kept}
    assert kept | {"customer": None} == expected | {"customer": None}
    assert data["customer"]["shortName"] == "default"
    assert data["sampleSha256"] == sha256
    assert data["createdByUser"]["shortName"] == "test-analyzer"
    assert data["flags"] == ["executedWithInternetAccess"]
    assert data["job"] is None
    shown = api.admin.get(f"/sample/{sha256}/analysis/{data['analysisID']}")
    assert shown.json()["data"] == data
    listed = api.admin.get(f"/sample/{sha256}/analysis").json()
    assert (listed["count"], listed["data"]) == (1, [data])


def test_the_same_analysis_again_is_the_first_one(api: API):
    path = f"/sample/{api.upload()}/analysis"

    def post(_: int) -> str:
        answer = api.admin.post(path, json=ANALYSIS)
        return str(answer.json()["data"]["analysisID"])

    api.key(Role.ADMINISTRATOR)
    with ThreadPoolExecutor(4) as pool:
        ids = set(pool.map(post, range(8)))
    other_score = api.admin.post(path, json={**ANALYSIS, "analysisScore": 1})
    other_user = api.as_(Role.ANALYZER).post(path, json=ANALYSIS)

    assert len(ids) == 1
    assert other_score.json()["data"]["analysisID"] not in ids
    assert other_user.json()["data"]["analysisID"] not in ids


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"analysisScore": 101}, "analysisScore"),
        ({"analysisScore": -2}, "analysisScore"),
        ({"analysisScore": "50"}, "analysisScore"),
        ({"analysisScore": True}, "analysisScore"),
        ({"tlp": "white"}, "tlp"),
        ({"customer": "nobody"}, "customer"),
        ({"userAgent": {"name": "a b", "version": "1"}}, "userAgent"),
        ({"userAgent": {"name": "a"}}, "userAgent"),
        ({"profile": "50 %"}, "profile"),
        ({"tags": [{"type": "colour", "value": "red"}]}, "tags"),
        ({"triggeredDetections": [{"name": "x"}]}, "triggeredDetections"),
        ({"possibleDetections": -1}, "possibleDetections"),
        ({"verdictStatusOverride": "unknown"}, "verdictStatusOverride"),
        ({"executedWithInternetAccess": "yes"}, "executedWithInternetAccess"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_wrong_analysis_is_named_and_not_stored(
    api: API, changed: dict[str, Any], field: str
):
    path = f"/sample/{api.upload()}/analysis"
    before = api.counts()

    answer = api.admin.post(path, json=ANALYSIS | changed)

    assert answer.status_code == 412, answer.text
    assert first_message(answer)["field"].split(".")[0] == field
    assert api.counts() == before


@pytest.mark.parametrize("result", [None, [], "text", 17, 1.5, False, {"a": "\x00"}])
def test_any_json_is_a_result(api: API, result: object):
    answer = api.admin.post(
        f"/sample/{api.upload()}/analysis", json=ANALYSIS | {"analysisResult": result}
    )

    assert answer.status_code == 200, answer.text


def test_an_access_list_names_users(api: API):
    answer = api.admin.post(
        f"/sample/{api.upload()}/analysis", json=ANALYSIS | {"acl": ["nobody"]}
    )

    assert answer.status_code == 412
    assert first_message(answer)["field"] == "acl"


def test_unknown_samples_and_analyses_are_not_found(api: API):
    sha256, nowhere = api.upload(), "0" * 64

    assert api.admin.get(f"/sample/{nowhere}/analysis").status_code == 404
    assert (
        api.admin.post(f"/sample/{nowhere}/analysis", json=ANALYSIS).status_code == 404
    )
    assert api.admin.get(f"/sample/{sha256}/analysis/{uuid4()}").status_code == 404


def test_a_verdict_by_hand_is_the_current_one(api: API):
    sha256 = api.upload()

    answer = api.as_(Role.ANALYZER).post(
        f"/sample/{sha256}/verdict",
        json={"comment": "Seen it run.", "statusOverride": "malicious"},
    )

    assert answer.status_code == answer.json()["responseCode"] == 201, answer.text
    data = answer.json()["data"]
    assert data["flags"] == ["manual"]
    assert (data["statusOverride"], data["status"]) == ("malicious", "malicious")
    assert data["createdByUser"]["shortName"] == "test-analyzer"
    assert data["job"] is None
    sample = api.admin.get(f"/sample/{sha256}").json()["data"]
    assert sample["latestVerdict"] == data


def test_a_verdict_by_hand_is_new_once_somebody_has_said_another_thing(api: API):
    path = f"/sample/{api.upload()}/verdict"
    benign = {"comment": "Seen it run.", "statusOverride": "benign"}
    words = [benign, benign, benign | {"statusOverride": "malicious"}, benign]

    for word in words:
        assert api.admin.post(path, json=word).status_code == 201

    said = [verdict["statusOverride"] for verdict in api.admin.get(path).json()["data"]]
    assert said == ["benign", "malicious", "benign"]


def test_a_verdict_by_hand_stands_in_the_next_job(api: API):
    sha256 = api.upload()
    by_hand = {"comment": "Ours.", "statusOverride": "benign"}
    api.admin.post(f"/sample/{sha256}/verdict", json=by_hand)
    job = api.add_job(sha256)
    (task,) = api.tasks(job["id"])
    added = api.admin.post(
        f"/sample/{sha256}/analysis",
        json=ANALYSIS | {"verdictStatusOverride": None, "analysisScore": 90},
    ).json()["data"]["analysisID"]

    api.admin.put(
        f"/job/{job['id']}/task/{task['id']}",
        json={"state": "success", "analyses": [added]},
    )

    verdicts = api.admin.get(f"/sample/{sha256}/verdict").json()
    assert verdicts["count"] == 2
    newest = verdicts["data"][0]
    assert (newest["score"], newest["status"]) == (90, "benign")
    by_score = api.admin.get(f"/sample/{sha256}/verdict?sortBy=score").json()["data"]
    assert [verdict["score"] for verdict in by_score] == [0, 90]
    detected = api.admin.get(f"/sample/{sha256}/verdict?sortBy=-triggeredDetections")
    assert detected.json()["data"][0]["score"] == 90


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"statusOverride": "benign"}, "comment"),
        ({"comment": "x"}, "statusOverride"),
        ({"comment": "x", "statusOverride": "unknown"}, "statusOverride"),
        ({"comment": "50 % sure", "statusOverride": "benign"}, "comment"),
        ({"comment": 1, "statusOverride": "benign"}, "comment"),
        ({"comment": "x", "statusOverride": "benign", "score": 1}, "score"),
    ],
)
def test_a_wrong_verdict_is_named_and_not_stored(
    api: API, body: dict[str, Any], field: str
):
    path = f"/sample/{api.upload()}/verdict"
    before = api.counts()

    answer = api.admin.post(path, json=body)

    assert answer.status_code == 412, answer.text
    assert first_message(answer)["field"] == field
    assert api.counts() == before
