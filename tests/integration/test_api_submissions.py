"""
Submissions and challenges: possession is proved, repeats change nothing, a job follows.
"""

from __future__ import annotations

import hashlib
import random
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest
from argus_api.exceptions.http import (
    ArgusException,
    ObjectNotFoundException,
    UnprocessableEntityException,
)
from argus_api.files.sampledb.challenge import generate_challenge_token
from argus_api.files.sampledb.download import download_sample
from argus_api.files.sampledb.upload import add_submission, upload_sample
from argus_api.lib.sampledb.v2 import sample as client
from argus_api.lib.sampledb.v2 import submission as all_client
from argus_api.session import ArgusAPISession

from orchestrator.api.http.paging import OFFSET_MAX
from orchestrator.catalog import keys
from orchestrator.catalog.ranges import SIZE_MIN
from orchestrator.domain.values import Actor, Role
from tests.fixtures.api import API, first_message

AGENT = {"name": "mail-gateway", "version": "1.0"}


def _content(size: int = 4096) -> bytes:
    return random.Random(secrets.randbits(64)).randbytes(size)


def _token(http: httpx.Client, content: bytes) -> dict[str, str]:
    answer = http.post("/sample", content=content)
    assert answer.status_code in {200, 201}, answer.text
    token: dict[str, str] = answer.json()["data"]["challenge"]
    return token


def _form(token: dict[str, str], **fields: Any) -> dict[str, Any]:
    return {
        "challengeToken": token,
        "fileName": f"{secrets.token_hex(4)}.bin",
        "userAgent": AGENT,
        **fields,
    }


def _submit(http: httpx.Client, content: bytes, **fields: Any) -> httpx.Response:
    form = _form(_token(http, content), **fields)
    return http.post(f"/sample/{_sha256(content)}/submission", json=form)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _session(api: API, role: Role = Role.USER) -> ArgusAPISession:
    return ArgusAPISession(api.key(role), api_url=api.url)


def _rows(api: API) -> tuple[int, int]:
    submissions = api.run("SELECT count(*) FROM submission")[0]
    return submissions, api.run("SELECT count(*) FROM job")[0]


def test_a_submission_is_stored_and_leads_to_a_job(api: API):
    content = _content()

    answer = _submit(
        api.as_(Role.UPLOADER),
        content,
        fileName="bill.pdf",
        metaData={"source": "mail"},
        observedTimestamp=1_700_000_000_000,
        tlp="green",
        retention="now + 1 week",
    )

    assert answer.status_code == 201, answer.text
    found = answer.json()["data"]
    assert found["fileName"] == "bill.pdf"
    assert found["metaData"] == {"source": "mail"}
    assert found["observedTimestamp"] == 1_700_000_000_000
    assert found["expiryTimestamp"] > found["submittedTimestamp"]
    assert (found["tlp"], found["customer"]["shortName"]) == ("green", "default")
    job = api.admin.get(f"/job/{found['job']}").json()["data"]
    assert job["analysedSample"]["id"] == _sha256(content)
    assert job["fileName"] == "bill.pdf"


def test_what_was_said_of_a_sample_decides_who_analyses_it(api: API):
    worker = api.add_worker()
    rule = {
        "name": "mail",
        "description": "",
        "match": {"submission": {"metaDataKey": ["source"], "metaDataValue": [worker]}},
        "action": {"workers": {"add": [worker]}},
    }
    added = api.admin.post("/policy/default/rule", json=rule)
    assert added.status_code == 201, added.text

    mailed = _submit(api.admin, _content(), metaData={"source": worker})
    other = _submit(api.admin, _content(), metaData={"source": "web"})

    with_rule = api.tasks(mailed.json()["data"]["job"])
    without = api.tasks(other.json()["data"]["job"])
    assert worker in {task["worker"] for task in with_rule}
    assert worker not in {task["worker"] for task in without}


def test_the_contracts_client_answers_a_challenge(api: API):
    content, session = _content(200_000), _session(api)
    sha256 = api.upload(content)

    added = add_submission(
        sha256=sha256,
        data=content,
        fileName="a.bin",
        user_agent_name="agent",
        user_agent_version="1",
        api_session=session,
    )

    assert added["responseCode"] == 201
    assert added["data"]["sampleSha256"] == sha256
    listed = client.list_submissions(sha256=sha256, api_session=session)
    assert [submission["id"] for submission in listed["data"]] == [added["data"]["id"]]
    shown = client.get_submission(
        sha256=sha256, submissionID=added["data"]["id"], api_session=session
    )
    assert shown["data"] == added["data"]
    assert download_sample(sha256, api_session=session) == content


def test_the_contracts_client_uploads_what_is_too_small_for_a_challenge(api: API):
    content = _content(SIZE_MIN - 1)
    sha256, session = api.upload(content), _session(api)
    with pytest.raises(UnprocessableEntityException):
        generate_challenge_token(sha256=sha256, data=content, api_session=session)

    added = add_submission(
        sha256=sha256,
        data=content,
        fileName="small.bin",
        user_agent_name="agent",
        user_agent_version="1",
        api_session=session,
    )

    assert added["responseCode"] == 201


def test_the_contracts_client_is_told_to_upload_what_is_not_here(api: API):
    with pytest.raises(ObjectNotFoundException):
        add_submission(
            sha256="0" * 64,
            data=b"x" * 5000,
            fileName="a.bin",
            user_agent_name="agent",
            user_agent_version="1",
            api_session=_session(api),
        )

    uploaded = upload_sample(b"", api_session=_session(api))
    assert uploaded["data"]["challenge"]["sha256"] == _sha256(b"")


def test_whoever_has_the_bytes_gets_access(api: API):
    content = _content()
    sha256 = api.upload(content)
    name, tester = f"c{secrets.token_hex(4)}", Actor("test")
    with api.services.database.uow() as tx:
        keys.add_customer(tx, name, name, actor=tester)
        order = keys.KeyOrder(user_name=name, role=Role.UPLOADER, customer=name)
        key = keys.create_key(tx, order, actor=tester).secret
    stranger = api.with_key(key)
    assert stranger.get(f"/sample/{sha256}").status_code == 403
    asked = stranger.post(f"/sample/{sha256}/challenge").json()["data"]
    part = content[asked["offset"] : asked["offset"] + asked["length"]]

    wrong = _form({"id": asked["id"], "sha256": "0" * 64})
    right = _form({"id": asked["id"], "sha256": _sha256(part)})
    path = f"/sample/{sha256}/submission"

    assert stranger.post(path, json=wrong).status_code == 412
    assert stranger.get(f"/sample/{sha256}").status_code == 403
    assert stranger.post(path, json=right).status_code == 201
    assert stranger.get(f"/sample/{sha256}").status_code == 200


def test_sent_again_it_is_the_first_one(api: API):
    content = _content()
    form = _form(_token(api.admin, content))
    path = f"/sample/{_sha256(content)}/submission"
    first = api.admin.post(path, json=form)
    before = _rows(api)

    again = [api.admin.post(path, json=form) for _ in range(3)]

    assert first.status_code == 201
    assert {answer.status_code for answer in again} == {200}
    assert {answer.json()["data"]["id"] for answer in again} == {
        first.json()["data"]["id"]
    }
    assert _rows(api) == before


def test_sent_at_once_it_is_stored_once(api: API):
    content = _content()
    form = _form(_token(api.admin, content))
    path = f"/sample/{_sha256(content)}/submission"
    before = _rows(api)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.admin.post(path, json=form), range(8)))

    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["data"]["id"] for answer in answers}) == 1
    assert _rows(api) == (before[0] + 1, before[1] + 1)


def test_a_similar_one_is_not_stored(api: API):
    content = _content()
    first = _submit(api.admin, content, fileName="same.bin")
    before = _rows(api)

    similar = _submit(api.admin, content, fileName="same.bin", observedTimestamp="now")
    other = _submit(api.admin, content, fileName="other.bin")

    assert first.status_code == 201
    assert similar.status_code == similar.json()["responseCode"] == 220
    assert similar.json()["data"]["sampleSha256"] == _sha256(content)
    assert similar.json()["data"]["id"] is None
    assert other.status_code == 201
    assert _rows(api) == (before[0] + 1, before[1] + 1)


def test_one_that_is_to_be_kept_longer_is_stored_as_well(api: API):
    content = _content()
    name = {"fileName": "kept.bin"}

    answers = [
        _submit(api.admin, content, **name, retention="now + 1 hour").status_code,
        _submit(api.admin, content, **name, retention="now + 1 hour").status_code,
        _submit(api.admin, content, **name, retention="now + 1 year").status_code,
        _submit(api.admin, content, **name, retention="now + 1 week").status_code,
        _submit(api.admin, content, **name).status_code,
        _submit(api.admin, content, **name, retention="now + 1 hour").status_code,
    ]

    assert answers == [201, 220, 201, 220, 201, 220]


@pytest.mark.parametrize("value", ["C:\\Users\\{}\\a.exe", 'say "{}"', "tab\t{}\nline"])
def test_words_are_found_in_metadata_as_they_were_written(api: API, value: str):
    word = value.format(secrets.token_hex(8))
    stored = _submit(api.admin, _content(), metaData={"where": f"in {word}, there"})
    sha256 = stored.json()["data"]["sampleSha256"]

    for path, where in (("/submission", "metaData"), ("/sample", "submission")):
        criteria = {"keywords": word, "keywordFieldStrategy": where}
        (found,) = api.admin.get(path, params=criteria).json()["data"]
        assert sha256 in {found.get("sampleSha256"), found.get("sha256")}


def test_a_time_that_was_shown_is_in_the_period_that_ends_with_it(api: API):
    word = secrets.token_hex(8)
    _submit(api.admin, _content(), fileName=word)
    search = {"keywords": word}
    (shown,) = api.admin.get("/submission", params=search).json()["data"]
    at = shown["observedTimestamp"]

    def found(start: int, end: int) -> int:
        period = {"indexStartTimestamp": start, "indexEndTimestamp": end}
        answer = api.admin.get("/submission", params={**search, **period})
        return int(answer.json()["count"])

    assert found(at, at) == found(at - 1000, at) == 1
    assert found(at + 1, at + 1000) == found(at - 1000, at - 1) == 0


@pytest.mark.parametrize("path", ["/submission", "/sample", "/job"])
@pytest.mark.parametrize("role", [Role.VIEWER, Role.ADMINISTRATOR])
def test_beyond_the_end_of_a_list_there_is_nothing(api: API, path: str, role: Role):
    params = {"offset": OFFSET_MAX, "limit": 100}
    far = api.as_(role).get(path, params=params)
    further = api.as_(role).get(path, params={**params, "offset": OFFSET_MAX + 1})

    assert (far.status_code, far.json()["data"]) == (200, [])
    assert further.status_code == 412
    assert first_message(further)["field"] == "offset"


def test_a_token_serves_one_submission_of_one_user_and_sample(api: API):
    content, other = _content(), _content()
    api.upload(other)
    token = _token(api.as_(Role.USER), content)
    path = f"/sample/{_sha256(content)}/submission"
    foreign_user = api.admin.post(path, json=_form(token))
    foreign_sample = api.as_(Role.USER).post(
        f"/sample/{_sha256(other)}/submission", json=_form(token)
    )
    unknown = api.as_(Role.USER).post(
        path, json=_form({"id": str(uuid4()), "sha256": token["sha256"]})
    )
    used = api.as_(Role.USER).post(path, json=_form(token))
    before = _rows(api)

    reused = api.as_(Role.USER).post(path, json=_form(token))

    assert used.status_code == 201, used.text
    for answer in (foreign_user, foreign_sample, unknown, reused):
        assert answer.status_code == 412
        assert first_message(answer)["field"] == "challengeToken"
    assert _rows(api) == before


def test_a_token_expires(api: API):
    content = _content()
    token = _token(api.admin, content)
    api.run("UPDATE challenge SET expires_at = now() WHERE id = :id", id=token["id"])

    answer = api.admin.post(f"/sample/{_sha256(content)}/submission", json=_form(token))

    assert answer.status_code == 412
    assert "expired" in first_message(answer)["message"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"tlp": "red"}, "tlp"),
        ({"tlp": "purple"}, "tlp"),
        ({"customer": "nobody"}, "customer"),
        ({"acl": ["nobody"]}, "acl"),
        ({"retention": "now - 1 day"}, "retention"),
        ({"retention": "soon"}, "retention"),
        ({"observedTimestamp": "yesterday"}, "observedTimestamp"),
        ({"fileName": ""}, "fileName"),
        ({"fileName": None}, "fileName"),
        ({"metaData": {"a": 1}}, "metaData.a"),
        ({"userAgent": {"name": "two words", "version": "1"}}, "userAgent.name"),
        ({"challengeToken": {"id": "x", "sha256": "0" * 64}}, "challengeToken.id"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_wrong_submission_leaves_nothing(api: API, wrong: dict[str, Any], field: str):
    content = _content()
    token = _token(api.admin, content)
    before = _rows(api)

    answer = api.admin.post(
        f"/sample/{_sha256(content)}/submission", json=_form(token) | wrong
    )

    assert answer.status_code == 412, answer.text
    assert first_message(answer)["field"] == field
    assert _rows(api) == before


def test_all_submissions_are_searched_by_words_and_time(api: API):
    word = secrets.token_hex(8)
    for number in range(3):
        _submit(api.admin, _content(), fileName=f"{number}-{word}.doc")
    old = _submit(
        api.admin,
        _content(),
        fileName=f"old-{word}",
        observedTimestamp="now - 2 months",
    )
    session = _session(api)

    found = all_client.submission_simple_search(
        keywords=[word[2:].upper()], api_session=session
    )
    named = all_client.submission_simple_search(
        keywords=[word, "old-"],
        keywordMatchStrategy="all",
        keywordFieldStrategy=["fileName"],
        indexStartTimestamp="now - 1 year",
        api_session=session,
    )
    elsewhere = all_client.submission_simple_search(
        keywords=[word], keywordFieldStrategy=["mimeType"], api_session=session
    )

    assert [submission["fileName"][0] for submission in found["data"]] == [
        "2",
        "1",
        "0",
    ]
    assert found["count"] == found["size"] == 3
    assert [submission["id"] for submission in named["data"]] == [
        old.json()["data"]["id"]
    ]
    assert elsewhere["count"] == 0
    with pytest.raises(ArgusException, match="keywordFieldStrategy"):
        all_client.submission_simple_search(
            keywords=[word], keywordFieldStrategy=["nowhere"], api_session=session
        )
