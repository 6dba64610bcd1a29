"""
Finding by a few characters what somebody means.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from orchestrator.catalog import keys
from orchestrator.catalog.keys import KeyOrder
from orchestrator.domain.values import Actor, Role
from tests.fixtures.api import API, first_message


def _find(client: httpx.Client, wanted: str) -> list[dict[str, Any]]:
    answer = client.get("/find", params={"q": wanted})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["count"] == body["size"] == len(body["data"]) <= 20
    found: list[dict[str, Any]] = body["data"]
    return found


def _ids(found: list[dict[str, Any]], kind: str) -> list[str]:
    return [each["id"] for each in found if each["kind"] == kind]


@pytest.mark.parametrize("length", [6, 7, 8, 12])
def test_a_job_is_found_by_the_end_of_its_id(api: API, length: int):
    job = api.add_job(fileName="the-end.bin")
    end = job["id"].replace("-", "")[-length:]

    found = _find(api.as_(Role.VIEWER), end.upper())

    assert _ids(found, "job") == [job["id"]]
    (title,) = [each["title"] for each in found if each["kind"] == "job"]
    assert title == "the-end.bin (enqueued)"


def test_a_job_is_found_by_its_beginning_and_whole_first(api: API):
    jobs = [api.add_job() for _ in range(3)]
    wanted = jobs[1]["id"]

    by_beginning = _find(api.admin, wanted[:23])
    whole = _find(api.admin, wanted)

    assert wanted in _ids(by_beginning, "job")
    assert whole[0]["id"] == wanted


def test_a_sample_is_found_by_each_of_its_hashes_and_by_its_end(api: API):
    content = secrets.token_bytes(40)
    sha256 = api.upload(content)
    begins = [
        hashlib.new(name, content).hexdigest()[:10]
        for name in ("sha256", "sha1", "md5", "sha512")
    ]
    whole = [
        hashlib.new(name, content).hexdigest() for name in ("sha1", "md5", "sha512")
    ]

    for wanted in [*begins, *whole, sha256, sha256[-6:], sha256[-20:]]:
        found = _find(api.as_(Role.VIEWER), wanted)
        assert sha256 in _ids(found, "sample"), wanted


def test_a_file_is_found_by_the_beginning_of_its_name(api: API):
    name = f"Invoice_{secrets.token_hex(4)}%.PDF"
    job = api.add_job(fileName=name)

    for wanted in (name.lower()[:12], name[:13], name):
        assert job["id"] in _ids(_find(api.admin, wanted), "job"), wanted
    # What looks like a pattern is text.
    assert _find(api.admin, "Invoice%%") == []


def test_a_submitted_file_is_found_by_a_part_of_its_name(api: API):
    word = secrets.token_hex(6)
    sha256, worker = api.upload(), api.add_worker()
    order = {
        "sampleSha256": sha256,
        "workers": [worker],
        "fileName": f"the {word}.doc",
        "submission": {},
    }
    assert api.admin.post("/job", json=order).status_code == 201

    found = _find(api.admin, word[2:])

    assert sha256 in _ids(found, "sample")
    assert {"kind": "sample", "id": sha256, "title": f"the {word}.doc"} in found


def test_workers_and_replicas_are_found_by_a_part_of_their_name(api: API):
    worker = api.add_worker()
    replica = f"{worker}-7@host-{secrets.token_hex(4)}"
    api.run(
        "INSERT INTO replica (id, worker_id, version, slots, sequence, seen_at,"
        " created_at) SELECT :id, id, '1', 1, 1, now(), now() FROM worker"
        " WHERE short_name = :worker",
        id=replica,
        worker=worker,
    )

    by_worker = _find(api.as_(Role.VIEWER), worker[2:])
    by_host = _find(api.as_(Role.VIEWER), replica.split("@")[1].upper())

    assert _ids(by_worker, "worker") == [worker]
    assert _ids(by_worker, "replica") == [replica]
    assert _ids(by_host, "replica") == [replica]


@pytest.fixture
def stranger(api: API) -> httpx.Client:
    name = f"c{secrets.token_hex(4)}"
    with api.services.database.uow() as tx:
        keys.add_customer(tx, name, name, actor=Actor("test"))
        order = KeyOrder(user_name=f"u{name}", role=Role.USER, customer=name)
        key = keys.create_key(tx, order, actor=Actor("test")).secret
    return api.with_key(key)


def test_others_jobs_and_samples_are_not_found(api: API, stranger: httpx.Client):
    name = f"secret-{secrets.token_hex(4)}"
    sha256 = api.upload()
    order = {"sampleSha256": sha256, "fileName": name, "submission": {}}
    job = api.admin.post("/job", json=order).json()["data"]

    for wanted in (name, sha256, sha256[:12], sha256[-8:], job["id"], job["id"][-8:]):
        assert _find(stranger, wanted) == [], wanted
        assert _find(api.admin, wanted) != [], wanted


def test_own_jobs_are_found_beside_those_of_others(api: API, stranger: httpx.Client):
    name = f"same-{secrets.token_hex(4)}"
    api.add_job(fileName=name)
    sha256 = stranger.post("/sample", content=b"x" * 10).json()["data"]["sample"]["id"]
    order = {"sampleSha256": sha256, "fileName": name}
    own = stranger.post("/job", json=order).json()["data"]

    assert _ids(_find(stranger, name), "job") == [own["id"]]
    assert len(_ids(_find(api.admin, name), "job")) == 2


@pytest.mark.parametrize("wanted", ["", "ab", " a ", "x" * 257])
def test_what_is_too_short_or_too_long_is_refused(api: API, wanted: str):
    answer = api.admin.get("/find", params={"q": wanted})

    assert answer.status_code == 412
    assert first_message(answer)["field"] == "q"


def test_no_more_than_a_person_looks_through(api: API):
    name = f"many-{secrets.token_hex(4)}"
    sha256, worker = api.upload(), api.add_worker()
    orders = [
        {"sampleSha256": sha256, "workers": [worker], "fileName": f"{name}-{n}"}
        for n in range(30)
    ]
    assert api.admin.post("/job/bulk", json={"orders": orders}).status_code == 200

    assert len(_find(api.admin, name)) == 20


@pytest.mark.parametrize("wanted", ["many-", "0a1b2c", "a1b2c3d4e5f6", "f" * 32])
def test_no_table_that_grows_is_read_as_a_whole(api: API, wanted: str):
    seen: list[str] = []
    engine = api.services.database.engine

    def explain(
        connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any
    ) -> None:
        if "FROM job" in statement or "FROM sample" in statement:
            with connection.connection.driver_connection.cursor() as own:
                # A small table is read faster without an index; these will be large.
                own.execute("SET LOCAL enable_seqscan = off")
                own.execute(f"EXPLAIN {statement}", parameters)
                seen.append("\n".join(row[0] for row in own.fetchall()))

    event.listen(engine, "before_cursor_execute", explain)
    try:
        _find(api.admin, wanted)
    finally:
        event.remove(engine, "before_cursor_execute", explain)

    assert seen
    for plan in seen:
        assert "Seq Scan on job" not in plan, plan
        assert "Seq Scan on sample" not in plan, plan
