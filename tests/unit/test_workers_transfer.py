from __future__ import annotations

import gzip
import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal
from uuid import uuid4

import pytest

from orchestrator.contracts.assignment import AssignedSample, Where
from orchestrator.embedded.ports import free_port
from tests.fixtures.hostile_server import (
    HostileServer,
    Script,
    dripping,
    flooding,
    saying,
    silent,
    sipping,
)
from tests.fixtures.servers import StoreServer
from workers.replica.sources import Host, RefusedSourceError, Sources
from workers.replica.transfer import (
    AbandonedError,
    Grant,
    OutOfTimeError,
    Transfer,
    TransferError,
    Upload,
)

CONTENT = b"content" * 1000
#: As the API begins to answer.
HEAD = (
    b'HTTP/1.1 200 OK\r\ncontent-disposition: filename="%b"\r\n'
    % hashlib.sha256(CONTENT).hexdigest().encode()
)
LOCAL = Sources(hosts=(Host("127.0.0.1"),))


@pytest.fixture
def store() -> Iterator[StoreServer]:
    server = StoreServer()
    server.samples["/internal/it"] = CONTENT
    yield server
    server.close()


@pytest.fixture
def transfer(store: StoreServer, tmp_path: Path) -> Iterator[Transfer]:
    sources = Sources(roots=(tmp_path,), hosts=LOCAL.hosts)
    transfer = Transfer(
        store.url, secret="secret", slots=1, sources=sources, retry_seconds=2
    )
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


def grant(*, seconds: float = 30.0) -> Grant:
    return Grant(
        task_id=uuid4(),
        attempt=1,
        token="the token",
        stopped=threading.Event(),
        deadline=time.monotonic() + seconds,
    )


def test_a_sample_comes_over_http_with_the_token(transfer, store, tmp_path: Path):
    transfer.deliver(sample("/internal/it", kind="http"), tmp_path / "s", grant())

    assert (tmp_path / "s").read_bytes() == CONTENT
    assert store.tokens == ["the token"]


def test_a_signed_url_never_sees_the_token(transfer, store, tmp_path: Path):
    transfer.deliver(
        sample(f"{store.url}/internal/it", kind="url"), tmp_path / "s", grant()
    )

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
    value = {"http": "/internal/none", "path": f"{tmp_path}/a/b/c"}[kind]
    (tmp_path / "s").touch()

    with pytest.raises(TransferError) as caught:
        transfer.deliver(sample(value, kind=kind), tmp_path / "s", grant())

    assert caught.value.missing
    assert not caught.value.recoverable


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"x", CONTENT + b"x", b""])
def test_bytes_that_are_not_the_sample_are_refused(
    transfer, store, tmp_path: Path, content
):
    store.names["/internal/it"] = hashlib.sha256(content).hexdigest()
    with pytest.raises(TransferError, match="another hash or size") as caught:
        transfer.deliver(
            sample("/internal/it", content=content, kind="http"),
            tmp_path / "s",
            grant(),
        )

    assert not caught.value.recoverable


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"HTTP/1.1 404 Not Found", b"404 page not found"),
        (b"HTTP/1.1 404 Not Found", b'{"code": 404}'),
        (b"HTTP/1.1 200 OK", b"<html>Log in</html>"),
        (b"HTTP/1.1 302 Found", b""),
        (b"HTTP/1.1 400 Bad Request", b"<html>"),
        (b"HTTP/1.1 413 Too Large", b'["x"]'),
        (b"HTTP/1.1 421 Misdirected Request", b"null"),
    ],
)
def test_what_stands_where_the_api_should_is_not_the_samples_fault(
    tmp_path: Path, head: bytes, body: bytes
):
    length = f"\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    (tmp_path / "f").write_bytes(b"evidence")
    upload = Upload(source=tmp_path / "f", kind="evidence", file_name=None)
    with (
        closing(HostileServer(saying(head + length + body))) as server,
        closing(
            Transfer(server.url, secret="secret", slots=1, sources=LOCAL)
        ) as transfer,
    ):
        for act in (
            lambda: transfer.deliver(
                sample("/internal/it", kind="http"), tmp_path / "s", grant()
            ),
            lambda: transfer.upload(upload, grant()),
        ):
            with pytest.raises(TransferError) as caught:
                act()

            assert caught.value.recoverable
            assert not caught.value.missing


def test_an_api_that_stumbles_is_asked_again(transfer, store, tmp_path: Path):
    store.failures = 2

    transfer.deliver(sample("/internal/it", kind="http"), tmp_path / "s", grant())

    assert (tmp_path / "s").read_bytes() == CONTENT


def test_an_api_that_stays_away_is_another_attempts_affair(tmp_path: Path):
    transfer = Transfer(
        f"http://127.0.0.1:{free_port()}",
        secret="secret",
        slots=1,
        sources=LOCAL,
        retry_seconds=0.5,
    )

    with pytest.raises(TransferError, match="does not answer") as caught:
        transfer.deliver(sample("/internal/it", kind="http"), tmp_path / "s", grant())

    assert caught.value.recoverable


def test_a_stopped_attempt_does_not_wait_for_the_api(tmp_path: Path):
    transfer = Transfer(
        f"http://127.0.0.1:{free_port()}", secret="secret", slots=1, sources=LOCAL
    )
    stopped = grant()
    timer = threading.Timer(0.1, stopped.stopped.set)
    timer.start()

    with pytest.raises(AbandonedError):
        transfer.deliver(sample("/internal/it", kind="http"), tmp_path / "s", stopped)


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


#: Of a peer that is waited for in vain.
SLOW: dict[str, Script] = {
    "a head that does not come": silent,
    "a head that trickles": dripping(HEAD + b"x: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    "a body that does not come": saying(HEAD + b"content-length: 7000\r\n\r\n"),
    "a body that trickles": dripping(HEAD + b"content-length: 7000\r\n\r\nc"),
    "interim answers without end": flooding(b"", b"HTTP/1.1 102 Wait\r\n\r\n"),
    "empty pieces": dripping(HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\nc"),
}


@pytest.fixture
def peer(request: pytest.FixtureRequest) -> Iterator[HostileServer]:
    server = HostileServer(request.param)
    yield server
    server.close()


@pytest.fixture
def patient(peer: HostileServer) -> Iterator[Transfer]:
    """To a peer for which it would wait for ever."""
    transfer = Transfer(peer.url, secret="secret", slots=1, sources=LOCAL)
    yield transfer
    transfer.close()


of_a_slow_peer = pytest.mark.parametrize(
    "peer", SLOW.values(), ids=SLOW.keys(), indirect=True
)


@of_a_slow_peer
@pytest.mark.parametrize("kind", ["http", "url"])
def test_a_slow_peer_does_not_outlive_the_run_time(
    patient: Transfer, peer: HostileServer, kind: Literal["http", "url"], tmp_path: Path
):
    value = "/internal/it" if kind == "http" else f"{peer.url}/it"
    begun = time.monotonic()

    with pytest.raises(OutOfTimeError):
        patient.deliver(sample(value, kind=kind), tmp_path / "s", grant(seconds=0.6))

    assert 0.6 <= time.monotonic() - begun < 8


@of_a_slow_peer
def test_a_slow_peer_does_not_outlive_a_stop(patient: Transfer, tmp_path: Path):
    stopped = grant()
    threading.Timer(0.4, stopped.stopped.set).start()
    begun = time.monotonic()

    with pytest.raises(AbandonedError):
        patient.deliver(sample("/internal/it", kind="http"), tmp_path / "s", stopped)

    assert time.monotonic() - begun < 8


@pytest.mark.parametrize(
    "peer", [sipping, *SLOW.values()], ids=["a sipping one", *SLOW], indirect=True
)
@pytest.mark.parametrize("end", [AbandonedError, OutOfTimeError])
def test_an_upload_outlives_neither(
    patient: Transfer, tmp_path: Path, end: type[Exception]
):
    # More than the buffers between the two take.
    (tmp_path / "f").write_bytes(bytes(16 * 1024 * 1024))
    mine = grant(seconds=0.6 if end is OutOfTimeError else 30.0)
    if end is AbandonedError:
        threading.Timer(0.4, mine.stopped.set).start()
    begun = time.monotonic()

    with pytest.raises(end):
        patient.upload(Upload(kind="child", source=tmp_path / "f"), mine)

    assert time.monotonic() - begun < 8


FLOODS: dict[str, Script] = {
    "announced": flooding(HEAD + b"content-length: 999999999999\r\n\r\n", bytes(65536)),
    "without a length": flooding(HEAD + b"\r\n", bytes(65536)),
    "in pieces": flooding(
        HEAD + b"transfer-encoding: chunked\r\n\r\n",
        b"10000\r\n" + bytes(65536) + b"\r\n",
    ),
}


@pytest.mark.parametrize("peer", FLOODS.values(), ids=FLOODS.keys(), indirect=True)
def test_no_more_is_taken_than_was_announced(patient: Transfer, tmp_path: Path):
    with pytest.raises(TransferError, match="another hash or size"):
        patient.deliver(sample("/internal/it", kind="http"), tmp_path / "s", grant())

    assert (tmp_path / "s").stat().st_size <= len(CONTENT)


_BOMB = gzip.compress(CONTENT)


@pytest.mark.parametrize(
    "peer",
    [
        saying(
            HEAD
            + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n%b"
            % (len(_BOMB), _BOMB)
        )
    ],
    indirect=True,
)
def test_nothing_is_inflated(patient: Transfer, peer: HostileServer, tmp_path: Path):
    """What would be the sample once inflated is not the sample."""
    with pytest.raises(TransferError, match="another hash or size"):
        patient.deliver(sample("/internal/it", kind="http"), tmp_path / "s", grant())

    assert b"accept-encoding: identity" in peer.heads[0].lower()


@pytest.mark.parametrize(
    "peer",
    [flooding(HEAD + b"content-type: application/json\r\n\r\n", b"[" * 65536)],
    indirect=True,
)
def test_the_answer_to_an_upload_is_bounded(patient: Transfer, tmp_path: Path):
    (tmp_path / "f").write_bytes(CONTENT)

    with pytest.raises(TransferError, match="above 65536 bytes"):
        patient.upload(Upload(kind="child", source=tmp_path / "f"), grant())


@pytest.mark.parametrize("peer", [silent], indirect=True)
def test_a_redirect_is_not_followed(peer: HostileServer, tmp_path: Path):
    moved = HostileServer(
        saying(
            b"HTTP/1.1 302 Found\r\nlocation: %b/internal/it\r\n"
            b"content-length: 0\r\n\r\n" % peer.url.encode()
        )
    )
    transfer = Transfer(moved.url, secret="secret", slots=1, sources=LOCAL)

    with pytest.raises(TransferError, match="302"):
        transfer.deliver(sample("/internal/it", kind="http"), tmp_path / "s", grant())

    assert peer.heads == []
    transfer.close()
    moved.close()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("path", "{folder}/shared"),
        ("url", "{url}/internal/it"),
        ("http", "@{host}/internal/it"),
        ("http", "/internal/../internal/it"),
    ],
)
def test_what_was_not_allowed_is_neither_opened_nor_asked(
    store: StoreServer, tmp_path: Path, kind: Literal["http", "path", "url"], value: str
):
    (tmp_path / "shared").write_bytes(CONTENT)
    host = store.url.removeprefix("http://")
    value = value.format(folder=tmp_path, url=store.url, host=host)
    transfer = Transfer(store.url, secret="secret", slots=1, sources=Sources())

    with pytest.raises(RefusedSourceError):
        transfer.deliver(sample(value, kind=kind), tmp_path / "s", grant())

    assert store.tokens == []
    assert not (tmp_path / "s").exists()
    transfer.close()


@pytest.mark.parametrize("change", [b"more", None])
def test_a_file_of_another_size_is_refused_unread(transfer, tmp_path: Path, change):
    shared = tmp_path / "shared"
    shared.write_bytes(CONTENT + change if change else CONTENT[:-1])

    with pytest.raises(TransferError, match="another hash or size"):
        transfer.deliver(sample(str(shared), kind="path"), tmp_path / "s", grant())

    assert (tmp_path / "s").read_bytes() == b""


def test_a_copy_ends_with_its_run_time(transfer, tmp_path: Path):
    (tmp_path / "shared").write_bytes(CONTENT)
    shared = sample(str(tmp_path / "shared"), kind="path")

    with pytest.raises(OutOfTimeError):
        transfer.deliver(shared, tmp_path / "s", grant(seconds=0))
