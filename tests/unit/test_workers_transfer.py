from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from uuid import uuid4

import pytest

from orchestrator.contracts.assignment import AssignedSample, Where
from tests.fixtures.servers import StoreServer, free_port
from workers.replica.transfer import (
    AbandonedError,
    Grant,
    Transfer,
    TransferError,
    Upload,
)

CONTENT = b"content" * 1000


@pytest.fixture
def store() -> Iterator[StoreServer]:
    server = StoreServer()
    server.samples["/it"] = CONTENT
    yield server
    server.close()


@pytest.fixture
def transfer(store: StoreServer) -> Iterator[Transfer]:
    transfer = Transfer(store.url, secret="secret", slots=1, retry_seconds=2)
    yield transfer
    transfer.close()


def sample(
    value: str, *, content: bytes = CONTENT, kind: Literal["http", "path", "url"]
) -> AssignedSample:
    return AssignedSample(
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        where=Where(kind=kind, value=value),
    )


def grant() -> Grant:
    return Grant(
        task_id=uuid4(), attempt=1, token="the token", stopped=threading.Event()
    )


def test_a_sample_comes_over_http_with_the_token(transfer, store, tmp_path: Path):
    transfer.deliver(sample("/it", kind="http"), tmp_path / "s", grant())

    assert (tmp_path / "s").read_bytes() == CONTENT
    assert store.tokens == ["the token"]


def test_a_signed_url_never_sees_the_token(transfer, store, tmp_path: Path):
    transfer.deliver(sample(f"{store.url}/it", kind="url"), tmp_path / "s", grant())

    assert store.tokens == [None]


def test_a_sample_in_a_shared_folder_is_copied(transfer, tmp_path: Path):
    (tmp_path / "shared").write_bytes(CONTENT)

    transfer.deliver(
        sample(str(tmp_path / "shared"), kind="path"), tmp_path / "s", grant()
    )

    assert (tmp_path / "s").read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["http", "path"])
def test_a_sample_that_is_missing_is_no_use_trying_again(
    transfer, tmp_path: Path, kind
):
    with pytest.raises(TransferError) as caught:
        transfer.deliver(sample("/none", kind=kind), tmp_path / "s", grant())

    assert caught.value.missing
    assert not caught.value.recoverable


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"x", CONTENT + b"x", b""])
def test_bytes_that_are_not_the_sample_are_refused(transfer, tmp_path: Path, content):
    with pytest.raises(TransferError, match="another hash or size") as caught:
        transfer.deliver(
            sample("/it", content=content, kind="http"), tmp_path / "s", grant()
        )

    assert not caught.value.recoverable


def test_an_api_that_stumbles_is_asked_again(transfer, store, tmp_path: Path):
    store.failures = 2

    transfer.deliver(sample("/it", kind="http"), tmp_path / "s", grant())

    assert (tmp_path / "s").read_bytes() == CONTENT


def test_an_api_that_stays_away_is_another_attempts_affair(tmp_path: Path):
    transfer = Transfer(
        f"http://127.0.0.1:{free_port()}", secret="secret", slots=1, retry_seconds=0.5
    )

    with pytest.raises(TransferError, match="does not answer") as caught:
        transfer.deliver(sample("/it", kind="http"), tmp_path / "s", grant())

    assert caught.value.recoverable


def test_a_stopped_attempt_does_not_wait_for_the_api(tmp_path: Path):
    transfer = Transfer(f"http://127.0.0.1:{free_port()}", secret="secret", slots=1)
    stopped = grant()
    timer = threading.Timer(0.1, stopped.stopped.set)
    timer.start()

    with pytest.raises(AbandonedError):
        transfer.deliver(sample("/it", kind="http"), tmp_path / "s", stopped)


def test_a_file_is_stored_under_its_attempt(transfer, store, tmp_path: Path):
    (tmp_path / "f").write_bytes(CONTENT)
    mine = grant()

    reference = transfer.upload(
        Upload(kind="child", source=tmp_path / "f", file_name="a b.exe"), mine
    )

    stored = store.stored[0]
    assert stored.path == f"/internal/task/{mine.task_id}/1/file/child"
    assert stored.parameters["fileName"] == ["a b.exe"]
    assert (stored.content, stored.token) == (CONTENT, "the token")
    assert reference.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert (reference.size, reference.file_name) == (len(CONTENT), "a b.exe")
