"""
A verdict by hand counts for everybody; its author and its words are its customer's.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from orchestrator.catalog import keys
from orchestrator.catalog.keys import KeyOrder
from orchestrator.domain.values import Actor, Role
from tests.fixtures.api import API, ask
from tests.fixtures.operations import ROLES

_TESTER = Actor("test")


@dataclass(frozen=True, kw_only=True)
class Said:
    """A verdict by hand of one customer's, and what another one may ask about it."""

    sha256: str
    comment: str
    author: str
    path: dict[str, str]
    own: httpx.Client
    others: dict[str, httpx.Client]


def _client(
    api: API, name: str, role: Role, customer: str, *limits: str
) -> httpx.Client:
    order = KeyOrder(
        user_name=name, role=role, customer=customer, customers=limits or None
    )
    with api.services.database.uow() as tx:
        return api.with_key(keys.create_key(tx, order, actor=_TESTER).secret)


@pytest.fixture(scope="module")
def said(shared_api: API) -> Said:
    api, run = shared_api, secrets.token_hex(4)
    blue, red = f"blue{run}", f"red{run}"
    with api.services.database.uow() as tx:
        for customer in (blue, red):
            keys.add_customer(tx, customer, customer, actor=_TESTER)
    author, comment = f"author{run}", f"wordofblue{run}"
    analyser = _client(api, author, Role.ANALYZER, blue)
    own = _client(api, f"reader{run}", Role.VIEWER, blue)
    user = _client(api, f"user{run}", Role.USER, red)
    others = {
        "user": user,
        "viewer": _client(api, f"viewer{run}", Role.VIEWER, red),
        "analyzer": _client(api, f"analyzer{run}", Role.ANALYZER, red, red),
        "administrator": _client(api, f"admin{run}", Role.ADMINISTRATOR, red, red),
    }
    content = secrets.token_bytes(2048)
    uploaded = user.post("/sample", content=content).json()["data"]
    _client(api, f"other{run}", Role.USER, blue).post("/sample", content=content)
    sha256 = uploaded["sample"]["id"]
    job = user.post(
        "/job", json={"sampleSha256": sha256, "workers": [api.add_worker()]}
    ).json()["data"]
    findings = {
        "userAgent": {"name": "agent", "version": "1"},
        "tlp": "green",
        "customer": red,
        "analysisResult": {},
        "analysisScore": 0,
    }
    analysis = api.admin.post(f"/sample/{sha256}/analysis", json=findings)
    analysis_id = analysis.json()["data"]["analysisID"]
    evidence = api.admin.post(
        f"/sample/{sha256}/analysis/{analysis_id}/evidence/a.txt", content=b"x"
    ).json()["data"]
    given = {"comment": comment, "statusOverride": "malicious"}
    answer = analyser.post(f"/sample/{sha256}/verdict", json=given)
    assert answer.status_code == 201, answer.text
    assert answer.json()["data"]["comment"] == comment
    return Said(
        sha256=sha256,
        comment=comment,
        author=author,
        path={
            "sha256": sha256,
            "jobID": job["id"],
            "taskID": api.tasks(job["id"])[0]["id"],
            "analysisID": analysis_id,
            "evidence": evidence["id"],
            "idOrShortName": "nobody",
            "webhookID": job["id"],
            "deliveryID": job["id"],
            "id": job["id"],
        },
        own=own,
        others=others,
    )


def _reads(api: API, said: Said, client: httpx.Client) -> Iterator[httpx.Response]:
    for operation in ROLES:
        method, template = operation.split()
        if method == "GET":
            url = api.url + template.format(**said.path)
            yield ask(client, "GET", url)
            yield ask(client, "GET", url, params={"limit": 0})
    yield client.post("/job/search", json={"sampleSha256": said.sha256})
    yield client.get("/sample", params={"sortBy": "-lastUpdatedAnalysis"})


@pytest.mark.parametrize("role", ["user", "viewer", "analyzer", "administrator"])
def test_no_route_tells_another_customer_who_said_it_or_why(
    api: API, said: Said, role: str
):
    answers = list(_reads(api, said, said.others[role]))

    assert sum(answer.status_code == 200 for answer in answers) > 20
    for answer in answers:
        assert said.comment not in answer.text, answer.request.url
        assert said.author not in answer.text, answer.request.url


@pytest.mark.parametrize("role", ["user", "viewer", "analyzer", "administrator"])
def test_its_status_counts_for_all(said: Said, role: str):
    path = f"/sample/{said.sha256}"
    seen = said.others[role].get(path).json()["data"]["latestVerdict"]
    (listed,) = said.others[role].get(f"{path}/verdict").json()["data"]

    for verdict in (seen, listed):
        assert verdict["status"] == verdict["statusOverride"] == "malicious"
        assert verdict["flags"] == ["manual"]
        assert verdict["comment"] is verdict["createdByUser"] is None


@pytest.mark.parametrize("field", ["verdict", "all"])
def test_its_words_are_found_by_its_customer_alone(api: API, said: Said, field: str):
    wanted = {"keywords": said.comment, "keywordFieldStrategy": field}

    for client in (said.own, api.admin):
        (found,) = client.get("/sample", params=wanted).json()["data"]
        assert found["latestVerdict"]["comment"] == said.comment
        assert found["latestVerdict"]["createdByUser"]["name"] == said.author
    for client in said.others.values():
        assert client.get("/sample", params=wanted).json()["data"] == []
