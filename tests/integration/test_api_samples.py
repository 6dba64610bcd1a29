"""
Samples over HTTP: what is taken in whole, what is refused, what is given back.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import secrets
import socket
from collections.abc import Iterator

import httpx
import pytest
import pyzipper
from argus_api.lib.sampledb.v2 import sample as client
from argus_api.pagination import paginated_items
from argus_api.session import ArgusAPISession

from orchestrator.domain.values import Role
from tests.fixtures.api import API, SAMPLE_MAX_BYTES, first_message
from tests.fixtures.waiting import eventually


def _chunks(total: int, size: int = 65_536) -> Iterator[bytes]:
    while total > 0:
        yield secrets.token_bytes(min(size, total))
        total -= size


def test_a_new_sample_answers_201_and_the_same_bytes_again_200(api: API):
    content = secrets.token_bytes(1000)

    first = api.as_(Role.UPLOADER).post("/sample", content=content)
    again = api.as_(Role.UPLOADER).post("/sample", content=content)

    sample = {"id": hashlib.sha256(content).hexdigest(), "size": 1000}
    assert first.status_code == first.json()["responseCode"] == 201
    assert first.json()["data"]["sample"] == sample
    assert first.json()["data"]["exists"] is False
    assert again.status_code == again.json()["responseCode"] == 200
    assert again.json()["data"]["sample"] == sample
    assert again.json()["data"]["exists"] is True


def test_an_empty_sample_is_a_sample(api: API):
    answer = api.admin.post("/sample", content=b"")

    assert answer.status_code in {200, 201}
    empty = hashlib.sha256(b"").hexdigest()
    assert answer.json()["data"]["sample"] == {"id": empty, "size": 0}


def test_any_content_type_and_none_is_accepted(api: API):
    for content_type in ("application/json", "text/plain", "multipart/form-data"):
        answer = api.admin.post(
            "/sample",
            content=secrets.token_bytes(8),
            headers={"Content-Type": content_type},
        )

        assert answer.status_code == 201, answer.text


def test_a_sample_without_announced_length_is_taken_in_whole(api: API):
    content = secrets.token_bytes(300_000)

    answer = api.admin.post("/sample", content=iter([content[:7], content[7:]]))

    assert answer.status_code == 201
    assert answer.json()["data"]["sample"]["id"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("announced", [True, False])
def test_a_sample_above_the_limit_answers_413_and_leaves_nothing(
    api: API, *, announced: bool
):
    before = api.counts()
    size = SAMPLE_MAX_BYTES + 1
    body = secrets.token_bytes(size) if announced else _chunks(size)

    answer = api.admin.post("/sample", content=body)

    assert answer.status_code == answer.json()["responseCode"] == 413
    assert first_message(answer)["field"] == "body"
    assert "ASSAY_SAMPLE_MAX_BYTES" in first_message(answer)["message"]
    assert api.counts() == before
    assert not api.staged()


def test_a_client_that_goes_away_leaves_nothing(api: API):
    before = api.counts()
    url = httpx.URL(api.url)
    head = (
        "POST /sampledb/v2/sample HTTP/1.1\r\nHost: test\r\n"
        f"Content-Length: {SAMPLE_MAX_BYTES}\r\n"
        f"Argus-API-Key: {api.key(Role.ADMINISTRATOR)}\r\n\r\n"
    )

    with socket.create_connection((url.host, url.port or 0)) as connection:
        connection.sendall(head.encode() + bytes(SAMPLE_MAX_BYTES - 1))
        eventually(api.staged)
    eventually(lambda: not api.staged())

    assert api.counts() == before


def test_uploads_that_hang_keep_nobody_else_waiting(api: API):
    head = (
        "POST /sampledb/v2/sample HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n"
        f"Argus-API-Key: {api.key(Role.ADMINISTRATOR)}\r\n\r\n"
    )
    url = httpx.URL(api.url)

    with contextlib.ExitStack() as stack:
        # More than the threads that there are for everything else.
        for _ in range(45):
            connection = socket.create_connection((url.host, url.port or 0))
            stack.enter_context(connection).sendall(head.encode())
        eventually(lambda: api.admin.post("/sample", content=b"a").status_code == 503)
        answer = api.admin.get("/job?limit=1", timeout=5)

    assert answer.status_code == 200


def test_a_sample_is_given_back_as_it_came(api: API):
    content = secrets.token_bytes(200_000)
    sha256 = api.upload(content)

    answer = api.as_(Role.VIEWER).get(f"/sample/{sha256}/raw")

    assert answer.content == content
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_missing_bytes_answer_404_with_a_code_that_says_so(api: API):
    sha256 = api.upload()
    api.services.store.delete(sha256)

    answer = api.admin.get(f"/sample/{sha256}/raw")

    assert answer.status_code == 404
    assert answer.json()["metaData"] == {"code": "sample_missing"}


def test_a_sample_shows_its_digests_and_its_kind(api: API):
    content = b"%PDF-1.7\n" + secrets.token_bytes(32)
    sha256 = api.upload(content)

    data = api.as_(Role.VIEWER).get(f"/sample/{sha256.upper()}").json()["data"]

    assert data["sha256"] == sha256
    assert data["md5"] == hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert data["size"] == len(content)
    assert data["latestClassification"]["type"]
    assert data["latestVerdict"] is None


def test_classifications_are_listed(api: API):
    sha256 = api.upload()

    answer = api.admin.get(f"/sample/{sha256}/classification?sortBy=-type").json()

    assert (answer["count"], answer["size"]) == (1, 1)
    assert {"type", "superType", "arch", "platform", "version", "metaData"} <= set(
        answer["data"][0]
    )


@pytest.mark.parametrize("path", ["", "/raw", "/classification", "/verdict"])
def test_an_unknown_sample_answers_404(api: API, path: str):
    answer = api.admin.get(f"/sample/{'0' * 64}{path}")

    assert answer.status_code == 404
    assert first_message(answer)["field"] == "sha256"


def test_what_is_no_sha256_answers_412_and_names_it(api: API):
    answer = api.admin.get("/sample/nonsense")

    assert answer.status_code == 412
    assert first_message(answer)["field"] == "sha256"


def test_reanalysing_twice_answers_the_job_that_is_open(api: API):
    api.add_worker("reanalyser")
    api.run("UPDATE worker SET version = '1' WHERE short_name = 'reanalyser'")
    api.run(
        "INSERT INTO worker_version (worker_id, version, accepts, run_seconds,"
        " max_tlp, sends_data_out) SELECT id, '1', '{*}', 10, 'red', false"
        " FROM worker WHERE short_name = 'reanalyser' ON CONFLICT DO NOTHING"
    )
    sha256 = api.upload()

    first = api.as_(Role.USER).put(f"/sample/{sha256}/reanalyse", json={})
    again = api.as_(Role.USER).put(f"/sample/{sha256}/reanalyse")
    other = api.admin.put(f"/sample/{sha256}/reanalyse")

    assert first.status_code == 200, first.text
    assert first.json()["data"]["analysedSample"] == {"id": sha256, "size": 64}
    assert again.json()["data"]["id"] == first.json()["data"]["id"]
    assert other.json()["data"]["id"] != first.json()["data"]["id"]


def test_reanalysing_is_another_job_than_one_that_was_ordered(api: API):
    order = {"sampleSha256": api.upload(), "workers": [api.add_worker()]}
    ordered = api.admin.post("/job", json=order).json()["data"]

    again = api.admin.put(f"/sample/{order['sampleSha256']}/reanalyse")

    assert again.status_code == 200
    assert again.json()["data"]["id"] != ordered["id"]


def test_reanalysing_an_unknown_sample_answers_404(api: API):
    assert api.admin.put(f"/sample/{'0' * 64}/reanalyse").status_code == 404


def _safe(api: API, sha256: str) -> bytes:
    answer = api.as_(Role.VIEWER).get(f"/sample/{sha256}/safe")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    with pyzipper.AESZipFile(io.BytesIO(answer.content)) as archive:
        (name,) = archive.namelist()
        assert name == sha256
        return bytes(archive.read(name, pwd=b"infected"))


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
def test_a_safe_sample_opens_with_the_usual_password(api: API, size: int):
    content = secrets.token_bytes(size)

    assert _safe(api, api.upload(content)) == content


def test_a_safe_sample_shows_nothing_without_it(api: API):
    content = b"X5O!P%@AP" * 100
    sha256 = api.upload(content)

    answer = api.as_(Role.VIEWER).get(f"/sample/{sha256}/safe")

    assert content[:9] not in answer.content
    with (
        pyzipper.AESZipFile(io.BytesIO(answer.content)) as archive,
        pytest.raises(RuntimeError),
    ):
        archive.read(sha256, pwd=b"guess")


def test_reclassifying_adds_a_row_only_when_the_answer_is_new(api: API):
    sha256 = api.upload(b"#!/bin/sh\necho " + secrets.token_hex(8).encode())
    path = f"/sample/{sha256}/classification"
    same = api.admin.put(f"/sample/{sha256}/reclassify", json={})
    assert api.admin.get(path).json()["count"] == 1
    api.run(
        "UPDATE classification SET version = '0', type = 'old'"
        " WHERE sample_sha256 = :sha256",
        sha256=sha256,
    )

    renewed = api.admin.put(f"/sample/{sha256}/reclassify")

    assert same.status_code == renewed.status_code == 200
    assert renewed.json()["data"]["type"] == same.json()["data"]["type"] == "script"
    listed = api.admin.get(path).json()["data"]
    assert [classification["type"] for classification in listed] == ["script", "old"]


def test_samples_are_listed_the_newest_first(api: API):
    uploaded = [api.upload() for _ in range(3)]

    first = api.as_(Role.VIEWER).get("/sample", params={"limit": 2}).json()
    second = api.as_(Role.VIEWER).get("/sample", params={"limit": 2, "offset": 2})

    assert [sample["sha256"] for sample in first["data"]] == [uploaded[2], uploaded[1]]
    assert second.json()["data"][0]["sha256"] == uploaded[0]
    assert first["count"] >= 3
    assert first["limit"] == first["size"] == 2


def test_samples_are_found_by_parts_of_words(api: API):
    content = secrets.token_bytes(64)
    sha256 = api.upload(content)
    md5 = hashlib.md5(content).hexdigest()  # noqa: S324
    reader = api.as_(Role.VIEWER)

    def found(*words: str, **more: str) -> list[str]:
        answer = reader.get("/sample", params={"keywords": list(words), **more})
        assert answer.status_code == 200, answer.text
        return [sample["sha256"] for sample in answer.json()["data"]]

    assert found(sha256[10:40].upper()) == [sha256]
    assert found(md5, keywordFieldStrategy="md5") == [sha256]
    assert found(md5, keywordFieldStrategy="sha1") == []
    assert found(md5, sha256, keywordMatchStrategy="all") == [sha256]
    assert found(md5, "no-such-word", keywordMatchStrategy="all") == []
    assert found(sha256, indexEndTimestamp="now - 1 day") == []
    assert found("100%_of") == []


@pytest.mark.parametrize(
    "order",
    [
        "sampleSize",
        "-sampleClassificationType",
        "lastUpdatedSubmission",
        "-lastUpdatedAnalysis",
        "lastUpdatedLink",
        "sampleCreatedTimestamp",
    ],
)
def test_samples_are_sorted_as_asked(api: API, order: str):
    uploaded = {api.upload(secrets.token_bytes(size)) for size in (300, 100, 200)}

    answer = api.admin.get("/sample", params={"sortBy": order, "limit": 1000})

    listed = [
        sample for sample in answer.json()["data"] if sample["sha256"] in uploaded
    ]
    assert len(listed) == 3
    if order == "sampleSize":
        assert [sample["size"] for sample in listed] == [100, 200, 300]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"sortBy": "weather"}, "sortBy"),
        ({"keywordFieldStrategy": "nowhere", "keywords": "x"}, "keywordFieldStrategy"),
        ({"keywordMatchStrategy": "some"}, "keywordMatchStrategy"),
        ({"indexStartTimestamp": "soon"}, "indexStartTimestamp"),
        ({"limit": -1}, "limit"),
    ],
)
def test_a_wrong_search_names_the_field(api: API, wrong: dict[str, str], field: str):
    answer = api.admin.get("/sample", params=wrong)

    assert answer.status_code == 412
    assert first_message(answer)["field"] == field


def test_the_contracts_client_searches(api: API):
    sha256 = api.upload()
    session = ArgusAPISession(api.key(Role.VIEWER), api_url=api.url)

    found = client.simple_search(keywords=[sha256], api_session=session)

    assert [sample["sha256"] for sample in found["data"]] == [sha256]
    every = paginated_items(client.simple_search)(limit=50, api_session=session)
    assert sha256 in {sample["sha256"] for sample in every}
