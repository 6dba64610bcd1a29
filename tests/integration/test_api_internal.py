"""
What a replica reads and writes over HTTP: one attempt's token opens that and no more.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from orchestrator.api.http.body import READERS_PER_ATTEMPT
from orchestrator.catalog.attempt_files import FILES_MAX
from orchestrator.catalog.workers import enrol_worker
from orchestrator.contracts.signature import attempt_proof, enrolment_proof
from orchestrator.contracts.token import StoredClaim
from orchestrator.db.workers import REPLICAS_MAX
from orchestrator.domain.values import Actor
from orchestrator.queries.workers import find_enrolment
from tests.fixtures.api import API, ATTEMPT_MAX_BYTES, SAMPLE_MAX_BYTES, first_message
from tests.fixtures.waiting import eventually

MEBIBYTE = 1024 * 1024


@dataclass(kw_only=True)
class Attempt:
    """The first attempt of the only task of a job."""

    api: API
    job_id: str
    task_id: str
    worker: str
    content: bytes

    def token(self, attempt: int = 1, worker: str | None = None) -> str:
        """Return the token of an attempt."""
        keys = self.api.services.engine.keys
        return keys.attempt_token(UUID(self.task_id), attempt, worker or self.worker)

    def call(
        self,
        method: str,
        path: str,
        *,
        attempt: int = 1,
        token: str | None = None,
        proof: str | None = None,
        content: bytes | Iterator[bytes] | None = None,
    ) -> httpx.Response:
        """Call as the replica does."""
        token = self.token(attempt) if token is None else token
        return self.api.bare.request(
            method,
            f"/internal/task/{self.task_id}/{attempt}{path}",
            headers={
                "assay-token": token,
                "assay-proof": self.proof(token) if proof is None else proof,
            },
            content=content,
        )

    def proof(self, token: str, *, worker: str | None = None, newer: int = 0) -> str:
        """Return the proof that goes with a token, of an enrolment as it is now."""
        return attempt_proof(self.secret(worker, newer=newer), token)

    def secret(self, worker: str | None = None, *, newer: int = 0) -> str:
        """Return an enrolment secret, the present one or a *newer* one."""
        name = worker or self.worker
        with self.api.services.database.uow() as tx:
            found = find_enrolment(tx, name)
        assert found is not None
        keys = self.api.services.engine.keys
        return keys.enrolment_secret(name, found.generation + newer)


@pytest.fixture
def attempt(api: API) -> Attempt:
    """An attempt that is in the backlog."""
    return attempt_of(api)


def attempt_of(api: API) -> Attempt:
    content = secrets.token_bytes(5000)
    job = api.add_job(api.upload(content))
    (task,) = api.tasks(job["id"])
    return Attempt(
        api=api,
        job_id=job["id"],
        task_id=task["id"],
        worker=task["worker"],
        content=content,
    )


def test_the_token_opens_the_sample(attempt: Attempt):
    answer = attempt.call("GET", "/sample")

    assert answer.status_code == 200
    assert answer.content == attempt.content


@pytest.mark.parametrize("kind", ["child", "evidence", "result"])
def test_a_file_is_stored_under_its_hash(attempt: Attempt, kind: str):
    content = secrets.token_bytes(3000)

    answer = attempt.call("PUT", f"/file/{kind}", content=content)

    assert answer.status_code == 200, answer.text
    sha256 = hashlib.sha256(content).hexdigest()
    stored = StoredClaim(
        task_id=UUID(attempt.task_id), attempt=1, kind=kind, sha256=sha256, size=3000
    )
    receipt = attempt.api.services.engine.keys.receipt(stored)
    assert answer.json() == {"sha256": sha256, "size": 3000, "receipt": receipt}
    store = attempt.api.services.store
    assert b"".join(store.open(sha256)) == content


def test_an_unknown_kind_of_file_is_refused(attempt: Attempt):
    answer = attempt.call("PUT", "/file/nonsense", content=b"x")

    assert answer.status_code == 412
    assert first_message(answer)["field"] == "kind"


def test_a_file_above_the_limit_answers_413(attempt: Attempt):
    answer = attempt.call("PUT", "/file/child", content=bytes(SAMPLE_MAX_BYTES + 1))

    assert answer.status_code == 413


def test_what_an_attempt_stores_is_limited_as_a_whole(attempt: Attempt):
    """Ten files of nothing but holes cost a child ten blocks, and the store all."""
    first, rest = bytes(SAMPLE_MAX_BYTES), ATTEMPT_MAX_BYTES - SAMPLE_MAX_BYTES
    assert attempt.call("PUT", "/file/child", content=first).status_code == 200

    refused = attempt.call("PUT", "/file/evidence", content=bytes(rest + 1))
    again = attempt.call("PUT", "/file/evidence", content=first)
    fits = attempt.call("PUT", "/file/result", content=bytes(rest))

    assert refused.status_code == 413
    assert "ASSAY_ATTEMPT_MAX_BYTES" in first_message(refused)["message"]
    digest = hashlib.sha256(bytes(rest + 1)).hexdigest()
    assert attempt.api.services.store.size(digest) is None
    assert (again.status_code, fits.status_code) == (200, 200)


def test_no_more_is_written_than_an_attempt_has_left(attempt: Attempt):
    """Nor on the way: what will be refused would fill the store meanwhile."""
    note_stored(attempt, files=ATTEMPT_MAX_BYTES // MEBIBYTE, size_bytes=MEBIBYTE)
    seen = [0]

    def chunks() -> Iterator[bytes]:
        for _ in range(SAMPLE_MAX_BYTES // MEBIBYTE):
            yield bytes(MEBIBYTE)
            seen.extend(path.stat().st_size for path in attempt.api.staged())

    refused = attempt.call("PUT", "/file/child", content=chunks())
    announced = attempt.call("PUT", "/file/child", content=bytes(MEBIBYTE + 1))

    for answer in (refused, announced):
        assert answer.status_code == 413
        assert answer.json()["metaData"] == {"code": "attempt_too_large"}
    assert max(seen) <= MEBIBYTE


def test_an_attempt_that_lets_bytes_drip_keeps_nobody_else_waiting(api: API):
    """Nor does it write what is left to it many times at once."""
    slow, other = attempt_of(api), attempt_of(api)
    begun, release = threading.Barrier(READERS_PER_ATTEMPT + 1), threading.Event()

    def drips() -> Iterator[bytes]:
        yield b"x"
        begun.wait(10)
        release.wait(10)

    def is_busy() -> bool:
        return slow.call("PUT", "/file/child", content=b"more").status_code == 503

    with ThreadPoolExecutor() as pool:
        for _ in range(READERS_PER_ATTEMPT):
            pool.submit(slow.call, "PUT", "/file/child", content=drips())
        begun.wait(10)
        try:
            eventually(is_busy)
            assert other.call("PUT", "/file/child", content=b"x").status_code == 200
        finally:
            release.set()


def test_an_attempt_stores_no_more_files_than_a_report_can_name(attempt: Attempt):
    """Empty ones would be rows without end, and no byte too many."""
    note_stored(attempt, files=FILES_MAX - 1, size_bytes=0)

    last = attempt.call("PUT", "/file/child", content=b"last")
    refused = attempt.call("PUT", "/file/child", content=b"one too many")
    again = attempt.call("PUT", "/file/child", content=b"last")

    assert (last.status_code, again.status_code) == (200, 200)
    assert refused.status_code == 413
    assert refused.json()["metaData"] == {"code": "attempt_too_large"}
    assert (
        attempt.api.services.store.size(hashlib.sha256(b"one too many").hexdigest())
        is None
    )


def note_stored(attempt: Attempt, *, files: int, size_bytes: int) -> None:
    """Have it be as if the attempt had stored so many files."""
    with attempt.api.services.database.uow() as tx:
        tx.connection.execute(
            text(
                "INSERT INTO stored_file (task_id, attempt, sha256, size_bytes,"
                " sample_sha256, look_at, created_at) SELECT :task, 1, n, :size, '',"
                " now(), now() FROM generate_series(1, :files) AS n"
            ),
            {"task": attempt.task_id, "size": size_bytes, "files": files},
        )


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/sample"), ("PUT", "/file/child")]
)
def test_no_other_token_opens_anything(attempt: Attempt, method: str, path: str):
    wrong = [
        "",
        "nonsense",
        attempt.token() + "A",
        attempt.token(attempt=2),
        attempt.token(worker="another"),
        attempt.api.services.engine.keys.attempt_token(uuid4(), 1, attempt.worker),
    ]

    for token in wrong:
        answer = attempt.call(method, path, token=token, content=b"x")
        assert answer.status_code == 401
        assert answer.json()["metaData"] == {"code": "authentication_failed"}
    assert not attempt.api.staged()


def test_an_api_key_is_no_token(attempt: Attempt):
    answer = attempt.api.admin.get(
        f"{attempt.api.url}/internal/task/{attempt.task_id}/1/sample"
    )

    assert answer.status_code == 401


def test_an_older_attempt_opens_nothing_any_more(attempt: Attempt):
    path = f"/job/{attempt.job_id}/task/{attempt.task_id}"
    attempt.api.admin.put(path, json={"state": "failed"})
    attempt.api.admin.put(f"/job/{attempt.job_id}/retry")

    old = attempt.call("GET", "/sample", attempt=1)
    new = attempt.call("GET", "/sample", attempt=2)

    assert old.status_code == 412
    assert first_message(old)["field"] == "attempt"
    assert new.status_code == 200


def test_a_task_that_is_over_takes_nothing_more(attempt: Attempt):
    attempt.api.admin.put(f"/job/{attempt.job_id}/cancel")

    for method, path in (("GET", "/sample"), ("PUT", "/file/child")):
        answer = attempt.call(method, path, content=b"x")
        assert answer.status_code == 412
        assert "cancelled" in first_message(answer)["message"]


def test_missing_bytes_have_a_code_of_their_own(attempt: Attempt):
    sha256 = hashlib.sha256(attempt.content).hexdigest()
    attempt.api.services.store.delete(sha256)

    answer = attempt.call("GET", "/sample")

    assert answer.status_code == 404
    assert answer.json()["metaData"] == {"code": "sample_missing"}


def test_an_unknown_task_answers_404(api: API):
    answer = api.bare.get(
        f"/internal/task/{uuid4()}/1/sample", headers={"assay-token": "x"}
    )

    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/sample"), ("PUT", "/file/child")]
)
def test_a_token_alone_opens_nothing(attempt: Attempt, method: str, path: str):
    """Whoever reads a worker's queue has its tokens, and not its secret."""
    of_another = attempt.proof(attempt.token(), worker=attempt.worker, newer=1)

    for proof in ("", "x", of_another, attempt.proof("another token")):
        answer = attempt.call(method, path, proof=proof, content=b"x")

        assert answer.status_code == 401
        assert "assay-proof" in first_message(answer)["message"]


def test_a_replica_may_ask_whether_it_is_enrolled(attempt: Attempt):
    services = attempt.api.services
    with services.database.uow() as tx:
        enrol_worker(tx, attempt.worker, keys=services.engine.keys, actor=Actor("test"))
    present = enrolment_proof(attempt.secret(), attempt.worker)
    former = enrolment_proof(attempt.secret(newer=-1), attempt.worker)

    def ask(worker: str, proof: str) -> int:
        headers = {"assay-proof": proof}
        return attempt.api.bare.get(
            f"/internal/worker/{worker}", headers=headers
        ).status_code

    assert ask(attempt.worker, present) == 204
    assert ask(attempt.worker, former) == 401
    assert ask(attempt.worker, "") == 401
    assert ask("nobody", enrolment_proof(attempt.secret(), "nobody")) == 401

    attempt.api.admin.delete(f"/worker/{attempt.worker}")
    assert ask(attempt.worker, present) == 401


def test_a_replica_whose_heartbeats_would_be_refused_is_told(attempt: Attempt):
    services = attempt.api.services
    with services.database.uow() as tx:
        enrol_worker(tx, attempt.worker, keys=services.engine.keys, actor=Actor("test"))
        tx.connection.execute(
            text(
                "INSERT INTO replica (id, worker_id, version, slots, sequence, seen_at)"
                " SELECT 'r' || n, w.id, '1', 1, 1, now() FROM worker w,"
                " generate_series(1, :most) AS n WHERE w.short_name = :worker"
            ),
            {"most": REPLICAS_MAX, "worker": attempt.worker},
        )
    proof = enrolment_proof(attempt.secret(), attempt.worker)

    def ask(replica: str) -> httpx.Response:
        headers = {"assay-proof": proof, "assay-replica": replica}
        url = f"/internal/worker/{attempt.worker}"
        return attempt.api.bare.get(url, headers=headers)

    assert ask("r1").status_code == 204
    refused = ask("one more")
    assert refused.status_code == 412
    assert f"{REPLICAS_MAX} replicas" in first_message(refused)["message"]
