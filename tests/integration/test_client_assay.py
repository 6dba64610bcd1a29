"""
Assay for Python programs, against the real API.
"""

from __future__ import annotations

import io
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from orchestrator import Assay, AssayError, Order
from orchestrator.api.app import create_app
from orchestrator.client.failures import ClientError, NoAnswerError, WaitTimeoutError
from orchestrator.domain.errors import (
    AuthenticationError,
    IdempotencyConflictError,
    InvalidError,
    NotFoundError,
    PermissionDeniedError,
    SampleTooLargeError,
    UnknownWorkerError,
)
from orchestrator.domain.values import Role
from tests.fixtures.api import API, SAMPLE_MAX_BYTES, serve
from tests.fixtures.waiting import PATIENCE_SECONDS


@pytest.fixture
def assay(api: API) -> Iterator[Assay]:
    with Assay(api.url, api.key(Role.ANALYZER)) as opened:
        yield opened


def _succeed(api: API, job: Any, *, score: int) -> None:
    """End the job's only task with an analysis."""
    (task,) = api.tasks(str(job.id))
    form = {
        "customer": "default",
        "userAgent": {"name": task["worker"], "version": "1"},
        "tlp": "clear",
        "analysisResult": {"found": 2**60},
        "analysisScore": score,
        "tags": [{"type": "family", "value": "eicar"}],
    }
    answer = api.admin.post(f"/sample/{job.sample_sha256}/analysis", json=form)
    assert answer.status_code == 200, answer.text
    analysis = answer.json()["data"]["analysisID"]
    ended = {"state": "success", "analyses": [analysis]}
    path = f"/job/{job.id}/task/{task['id']}"
    assert api.admin.put(path, json=ended).status_code == 200


def test_a_sample_comes_from_a_path_bytes_or_a_file(
    api: API, assay: Assay, tmp_path: Path
):
    content = secrets.token_bytes(100)
    worker, path = api.add_worker(), tmp_path / "sample.bin"
    path.write_bytes(content)
    read_end, write_end = os.pipe()
    os.write(write_end, content)
    os.close(write_end)

    with os.fdopen(read_end, "rb") as pipe:
        sources: list[Any] = [path, str(path), content, io.BytesIO(content), pipe]
        jobs = [assay.submit(source, workers=[worker]) for source in sources]

    assert len({job.sample_sha256 for job in jobs}) == 1
    assert [job.file_name for job in jobs] == ["sample.bin"] * 2 + [None] * 3
    assert api.admin.get(f"/sample/{jobs[0].sample_sha256}/raw").content == content


def test_a_job_is_waited_for_and_has_its_verdict(api: API, assay: Assay):
    job = assay.submit(secrets.token_bytes(30), workers=[api.add_worker()], priority=3)
    assert (job.state, job.is_over, job.open_tasks) == ("enqueued", False, 1)
    assert (job.priority, job.verdict) == (3, None)
    assert job.enqueued_at.utcoffset() == timedelta(0)
    threading.Timer(0.2, _succeed, (api, job), {"score": 80}).start()

    job.wait(timeout=60)

    assert (job.state, job.is_over, job.ended_at is not None) == ("done", True, True)
    assert job.verdict is not None
    assert (job.verdict.status, job.verdict.score) == ("malicious", 80)
    (task,) = job.tasks()
    assert (task.state, task.analyses[0].analysis_score) == ("success", 80)
    (analysis,) = assay.analyses(job.sample_sha256)
    assert analysis.analysis_result == {"found": 2**60}
    assert analysis.tags[0].value == "eicar"
    verdict = next(assay.verdicts(job.sample_sha256))
    assert [part.source for part in verdict.contributions] == ["own"]
    sample = assay.sample(job.sample_sha256)
    assert sample.latest_verdict is not None
    assert sample.latest_verdict.score == 80


def test_an_api_that_is_restarted_is_waited_for(api: API):
    with ThreadPoolExecutor(1) as waiter:
        with serve(create_app(api.services)) as bare:
            url, port = str(bare.base_url), bare.base_url.port or 0
            assay = Assay(url, api.key(Role.ANALYZER))
            job = assay.submit(secrets.token_bytes(30), workers=[api.add_worker()])
            waited = waiter.submit(job.wait, timeout=PATIENCE_SECONDS)
        with socket.create_server(("127.0.0.1", port)) as away:
            away.settimeout(PATIENCE_SECONDS)
            # It was asked while there was no API.
            away.accept()[0].close()
        assert not waited.done()
        with serve(create_app(api.services), port=port):
            _succeed(api, job, score=5)

            assert waited.result(PATIENCE_SECONDS).is_over
        assay.close()


def test_what_takes_longer_goes_on(api: API, assay: Assay):
    job = assay.submit(secrets.token_bytes(30), workers=[api.add_worker()])

    with pytest.raises(WaitTimeoutError, match=f"{job.id} has 1 open tasks"):
        job.wait(timeout=0.1)

    assert assay.job(job.id).state == "enqueued"
    assert isinstance(WaitTimeoutError("x"), TimeoutError)


def test_a_job_is_cancelled_and_found_again(api: API, assay: Assay):
    job = assay.submit(secrets.token_bytes(30), workers=[api.add_worker()])

    job.cancel()

    assert job.is_over
    assert [task.state for task in job.tasks()] == ["cancelled"]
    assert [each.id for each in assay.jobs(sample_sha256=job.sample_sha256)] == [job.id]
    assert list(assay.jobs(sample_sha256=job.sample_sha256, states=["enqueued"])) == []
    (found,) = [each for each in assay.find(str(job.id)[-8:]) if each.kind == "job"]
    assert found.id == str(job.id)


def test_every_job_of_a_long_list_is_listed_once(api: API, assay: Assay):
    worker, content = api.add_worker(), secrets.token_bytes(30)
    done = list(assay.submit_many([content] * 230, Order(workers=[worker])))

    listed = list(assay.jobs(sample_sha256=api.upload(content)))

    assert len({each.id for each in listed}) == len(listed) == 230
    assert {each.job.id for each in done if each.job} == {each.id for each in listed}


def test_samples_are_listed_and_found_by_a_word(api: API, assay: Assay):
    api.add_job(api.upload(), workers=[api.add_worker()], fileName="of-another")
    stored = {assay.submit(secrets.token_bytes(9)).sample_sha256 for _ in range(3)}

    assert stored <= {sample.sha256 for sample in assay.samples()}
    (found,) = assay.samples(max(stored)[:20])
    assert found.sha256 == max(stored)


def test_of_many_one_that_fails_stops_none(api: API, assay: Assay, tmp_path: Path):
    good = [secrets.token_bytes(20) for _ in range(3)]
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(SAMPLE_MAX_BYTES + 1)
    sources: list[Any] = [good[0], tmp_path / "none", good[1], large, good[2]]

    done = list(assay.submit_many(sources, Order(workers=[api.add_worker()])))

    wrong = {each.source: each.error for each in done if each.error is not None}
    assert [each.source for each in done if each.job is not None] == good
    assert isinstance(wrong[tmp_path / "none"], ClientError)
    assert isinstance(wrong[large], SampleTooLargeError)


def test_what_is_no_sample_is_said_to_be_none(api: API, assay: Assay, tmp_path: Path):
    (tmp_path / "text").write_text("text")
    closed = io.BytesIO(b"x")
    closed.close()
    with (tmp_path / "text").open() as text:
        wrong: list[Any] = [text, closed, None, 7, "a\0b", tmp_path]
        done = list(
            assay.submit_many([*wrong, b"x"], Order(workers=[api.add_worker()]))
        )

    assert [each.source for each in done if each.job is None] == wrong
    assert all(isinstance(each.error, ClientError) for each in done[: len(wrong)])
    assert done[-1].job is not None


def test_an_order_that_cannot_be_sent_is_told_of_each(api: API, assay: Assay):
    order = Order(workers=[api.add_worker()], options={"depth": float("nan")})

    done = list(assay.submit_many([b"x", b"y"], order))

    assert [type(each.error) for each in done] == [InvalidError, InvalidError]


def test_an_order_that_is_refused_is_named(api: API, assay: Assay):
    (refused,) = assay.submit_many([b"x"], Order(workers=["nobody"]))

    assert isinstance(refused.error, UnknownWorkerError)
    assert "nobody" in refused.error.message


def test_what_is_said_of_a_sample_is_kept(api: API, assay: Assay):
    content = secrets.token_bytes(30)

    job = assay.submit(
        content,
        workers=[api.add_worker()],
        tlp="green",
        metadata={"case": "4711"},
        customer="default",
    )

    (said,) = api.admin.get(f"/sample/{job.sample_sha256}/submission").json()["data"]
    assert (said["job"], said["tlp"]) == (str(job.id), "green")
    assert said["metaData"] == {"case": "4711"}


def test_the_same_key_gives_the_first_job_again(api: API, assay: Assay):
    key, worker = secrets.token_hex(8), api.add_worker()
    content = secrets.token_bytes(30)

    first = assay.submit(content, workers=[worker], idempotency_key=key)
    again = assay.submit(content, workers=[worker], idempotency_key=key)

    assert again.id == first.id
    with pytest.raises(IdempotencyConflictError) as caught:
        assay.submit(content, workers=[worker], priority=1, idempotency_key=key)
    assert caught.value.field == "idempotencyKey"


def test_an_error_is_of_the_kind_that_the_service_raised(api: API, assay: Assay):
    with pytest.raises(NotFoundError, match="there is no job"):
        assay.job(uuid4())
    with pytest.raises(UnknownWorkerError, match="nobody"):
        assay.submit(b"x", workers=["nobody"])
    with (
        Assay(api.url, api.key(Role.VIEWER)) as viewer,
        pytest.raises(PermissionDeniedError, match="needs the role"),
    ):
        viewer.submit(b"x")
    with (
        Assay(api.url, "no-such-key") as stranger,
        pytest.raises(AuthenticationError, match="ASSAY_API_KEY"),
    ):
        list(stranger.submit_many([b"x"], patience=0))
    with (
        Assay("http://127.0.0.1:9", "a-key") as nobody,
        pytest.raises(NoAnswerError, match="nobody answers"),
    ):
        nobody.job(uuid4())


def test_it_finds_its_settings_in_the_environment(
    api: API, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path))
    (tmp_path / "env").write_text(f"ASSAY_API_URL={api.url}\nASSAY_API_KEY=wrong\n")
    key_file = tmp_path / "key"
    key_file.write_text(api.key(Role.VIEWER) + "\n")
    monkeypatch.delenv("ASSAY_API_URL", raising=False)
    monkeypatch.delenv("ASSAY_API_KEY", raising=False)
    monkeypatch.setenv("ASSAY_API_KEY_FILE", str(key_file))

    with Assay.from_env() as assay:
        assert assay.find("no-such-thing") == []

    monkeypatch.delenv("ASSAY_API_KEY_FILE")
    (tmp_path / "env").unlink()
    with pytest.raises(AssayError, match="ASSAY_API_URL is not set"):
        Assay.from_env()
