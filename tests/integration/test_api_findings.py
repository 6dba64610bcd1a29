"""
Evidence and links: what belongs to an analysis, and what has to do with a sample.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any
from uuid import uuid4

import pytest
from argus_api.exceptions.http import ObjectNotFoundException, ValidationErrorException
from argus_api.lib.sampledb.v2 import sample as client
from argus_api.session import ArgusAPISession

from orchestrator.domain.values import Role
from tests.fixtures.api import API, SAMPLE_MAX_BYTES, first_message

AGENT = {"name": "by-hand", "version": "1"}
ANALYSIS = {
    "customer": "default",
    "userAgent": AGENT,
    "tlp": "amber",
    "analysisResult": [],
    "analysisScore": 1,
}


def _analysis(api: API, sha256: str, **fields: Any) -> str:
    answer = api.admin.post(f"/sample/{sha256}/analysis", json=ANALYSIS | fields)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["data"]["analysisID"])


def _path(api: API) -> str:
    sha256 = api.upload()
    return f"/sample/{sha256}/analysis/{_analysis(api, sha256)}"


def _session(api: API) -> ArgusAPISession:
    return ArgusAPISession(api.key(Role.ANALYZER), api_url=api.url)


def _link(**fields: Any) -> dict[str, Any]:
    reference = hashlib.sha256(secrets.token_bytes(8)).hexdigest()
    base = {"reference": reference, "type": "child", "tlp": "amber", "userAgent": AGENT}
    return base | fields


def test_evidence_comes_back_as_it_went_in(api: API):
    path, content = _path(api), secrets.token_bytes(300_000)

    added = api.as_(Role.ANALYZER).post(
        f"{path}/evidence/memory.dmp",
        params={"internal": "True", "potentiallyMalicious": "true"},
        content=content,
        headers={"Content-Type": "application/x-dump"},
    )

    assert added.status_code == added.json()["responseCode"] == 201, added.text
    found = added.json()["data"]
    assert found["fileName"] == "memory.dmp"
    assert (found["mimeType"], found["size"]) == ("application/x-dump", 300_000)
    assert found["checksum"] == hashlib.sha256(content).hexdigest()
    assert found["flags"] == ["internal", "potentiallyMalicious"]
    reader = api.as_(Role.VIEWER)
    evidence_path = f"{path}/evidence/{found['id']}"
    assert reader.get(evidence_path).json()["data"] == found
    assert reader.get(f"{path}/evidence").json()["data"] == [found]
    assert "hasEvidence" in reader.get(path).json()["data"]["flags"]
    loaded = reader.get(f"{evidence_path}/download")
    assert loaded.content == content
    assert 'filename="memory.dmp"' in loaded.headers["content-disposition"]


def test_what_a_worker_kept_as_evidence_is_listed_and_given_out(api: API):
    path, content = _path(api), b"Sub AutoOpen()"
    digest = api.upload(content)
    files = [
        {"kind": kind, "sha256": digest, "size": 14, "file_name": name}
        | {"mime_type": "text/plain"}
        for kind, name in (("child", "a.exe"), ("evidence", "macros/Module1.bas"))
    ]
    api.run(
        "UPDATE analysis SET files = CAST(:files AS jsonb) WHERE id = :id",
        files=json.dumps(files),
        id=path.rpartition("/")[2],
    )
    api.admin.post(f"{path}/evidence/a.txt", content=b"by hand")
    reader = api.as_(Role.VIEWER)

    listed = reader.get(f"{path}/evidence", params={"sortBy": "-fileName"}).json()

    assert [row["fileName"] for row in listed["data"]] == [
        "macros/Module1.bas",
        "a.txt",
    ]
    assert listed["count"] == 2
    found = listed["data"][0]
    assert (found["mimeType"], found["size"]) == ("text/plain", 14)
    assert (found["checksum"], found["createdByUser"]) == (digest, None)
    assert found["flags"] == ["potentiallyMalicious"]
    assert reader.get(f"{path}/evidence/{found['id']}").json()["data"] == found
    loaded = reader.get(f"{path}/evidence/{found['id']}/download")
    assert loaded.content == content


def test_the_same_evidence_again_is_the_first_one(api: API):
    path = _path(api)

    first = api.admin.post(f"{path}/evidence/a", content=b"same")
    again = api.admin.post(f"{path}/evidence/a", content=b"same")
    other = api.admin.post(f"{path}/evidence/a", content=b"other")

    assert [answer.status_code for answer in (first, again, other)] == [201, 200, 201]
    assert first.json()["data"] == again.json()["data"]
    assert api.admin.get(f"{path}/evidence").json()["count"] == 2


def test_evidence_that_is_refused_leaves_nothing(api: API):
    path, nowhere = _path(api), f"/sample/{api.upload()}/analysis/{uuid4()}"
    before = api.run("SELECT count(*) FROM evidence")[0]

    refused = [
        (api.admin.post(f"{path}/evidence/two words", content=b"x"), 412),
        (api.admin.post(f"{path}/evidence/a?internal=perhaps", content=b"x"), 412),
        (api.admin.post(f"{nowhere}/evidence/a", content=b"x"), 404),
        (api.as_(Role.USER).post(f"{path}/evidence/a", content=b"x"), 403),
        (
            api.admin.post(
                f"{path}/evidence/a", content=iter([b"x" * (SAMPLE_MAX_BYTES + 1)])
            ),
            413,
        ),
    ]

    for answer, status in refused:
        assert answer.status_code == status, answer.text
    assert api.run("SELECT count(*) FROM evidence")[0] == before
    assert api.staged() == []
    assert api.admin.get(f"{path}/evidence/{uuid4()}").status_code == 404


def test_the_contracts_client_keeps_evidence(api: API):
    sha256 = api.upload()
    analysis_id, session = _analysis(api, sha256), _session(api)
    where = {"sha256": sha256, "analysisID": analysis_id, "api_session": session}

    added = client.upload_evidence(
        fileName="a.json", internal=True, body={"a": 1}, **where
    )["data"]

    assert added["flags"] == ["internal"]
    assert [evidence["id"] for evidence in client.list_evidence(**where)["data"]] == [
        added["id"]
    ]
    found = client.get_evidence(evidenceID=added["id"], **where)
    assert found["data"] == added
    loaded = client.get_evidence_data(evidenceID=added["id"], **where)
    assert loaded.json() == {"a": 1}
    with pytest.raises(ObjectNotFoundException):
        client.get_evidence(evidenceID=str(uuid4()), **where)


def test_a_summary_names_who_analysed(api: API):
    sha256 = api.upload()
    empty = client.get_analysis_summary(sha256=sha256, api_session=_session(api))
    _analysis(api, sha256, userAgent={"name": "b", "version": "1"})
    newest = _analysis(api, sha256, userAgent={"name": "a", "version": "2"})

    summary = client.get_analysis_summary(sha256=sha256, api_session=_session(api))

    assert empty["data"] == {"analysers": [], "latestAnalysis": None}
    assert [analyser["name"] for analyser in summary["data"]["analysers"]] == ["a", "b"]
    assert summary["data"]["latestAnalysis"]["id"] == newest


def test_links_name_the_other_sample_or_say_that_it_is_not_here(api: API):
    sha256, other, session = api.upload(), api.upload(), _session(api)
    common = {
        "sha256": sha256,
        "type": "child",
        "tlp": "amber",
        "userAgent": AGENT,
        "api_session": session,
    }

    alive = client.add_link(reference=other, **common)["data"]
    dead = client.add_link(reference="0" * 64, **common)["data"]

    assert alive["referencedSample"]["sha256"] == other
    assert alive["flags"] == []
    assert (dead["referencedSample"], dead["flags"]) == (None, ["deadReference"])
    listed = client.list_links(sha256=sha256, api_session=session)
    assert [link["id"] for link in listed["data"]] == [dead["id"], alive["id"]]
    assert (
        client.get_link(sha256=sha256, linkID=alive["id"], api_session=session)["data"]
        == alive
    )
    summary = client.get_link_summary(sha256=sha256, api_session=session)["data"]
    assert summary == {
        "linkTypeSummary": [{"type": "child", "count": 2}],
        "flags": [],
    }
    with pytest.raises(ValidationErrorException, match="type"):
        client.add_link(**{**common, "type": "cousin", "reference": other})


def test_the_same_link_again_is_the_first_one(api: API):
    path, form = f"/sample/{api.upload()}/link", _link()

    first = api.admin.post(path, json=form).json()["data"]
    again = api.admin.post(path, json=form).json()["data"]
    other = api.admin.post(path, json=form | {"type": "loads"}).json()["data"]

    assert first["id"] == again["id"] != other["id"]
    assert api.admin.get(path).json()["count"] == 2


def test_more_links_than_are_counted_say_so(api: API):
    sha256 = api.upload()
    path = f"/sample/{sha256}/link"
    first = api.admin.post(path, json=_link()).json()["data"]["id"]
    api.run(
        "INSERT INTO link (id, sample_sha256, reference_sha256, type, customer_id, tlp,"
        " agent_name, agent_version, created_by, content_hash)"
        " SELECT gen_random_uuid(), sample_sha256, reference_sha256, 'loads',"
        " customer_id, tlp, agent_name, agent_version, created_by, number::text"
        " FROM link, generate_series(1, 1000) number WHERE id = :id",
        id=first,
    )

    summary = api.admin.get(f"{path}/summary").json()["data"]

    assert summary["flags"] == ["incompleteTypeCount"]
    assert sum(link_type["count"] for link_type in summary["linkTypeSummary"]) == 1000


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"reference": "x"}, "reference"),
        ({"reference": None}, "reference"),
        ({"tlp": "purple"}, "tlp"),
        ({"customer": "nobody"}, "customer"),
        ({"acl": [1]}, "acl"),
        ({"userAgent": {}}, "userAgent.name"),
    ],
)
def test_a_wrong_link_leaves_nothing(api: API, wrong: dict[str, Any], field: str):
    path = f"/sample/{api.upload()}/link"

    answer = api.admin.post(path, json=_link() | wrong)

    assert answer.status_code == 412
    assert first_message(answer)["field"] == field
    assert api.admin.get(path).json()["count"] == 0
