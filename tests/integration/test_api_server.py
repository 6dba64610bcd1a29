"""
The server itself: what it does not wait for, what it does not read, and what it answers
when it can do no more, on real sockets.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from orchestrator.api.app import create_app
from orchestrator.api.http import body_deadline, server, threads
from orchestrator.api.http.body import READERS_PER_USER
from orchestrator.api.http.body_deadline import BYTES_PER_SECOND, BodyDeadline
from orchestrator.api.http.strict_head import HEAD_MAX_BYTES
from orchestrator.api.http.threads import in_thread
from orchestrator.domain.errors import BusyError
from orchestrator.domain.values import Role
from orchestrator.embedded.ports import free_port
from orchestrator.store import SampleStore
from tests.fixtures.api import API, PREFIX, first_message, open_services, run_api, serve
from tests.fixtures.stack import DatabaseServer
from tests.fixtures.waiting import eventually

#: Seconds; longer than a busy machine takes to answer.
_SHORT = 0.6

#: More than the system keeps of an answer on its way.
_LARGE_BYTES = 16 * 1024 * 1024


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for requests so briefly that a test can see it."""
    monkeypatch.setattr(server.BoundedProtocol, "head_seconds", _SHORT)


@contextlib.contextmanager
def _connection(api: API) -> Iterator[socket.socket]:
    url = httpx.URL(api.url)
    with socket.create_connection((url.host, url.port or 0), timeout=10) as opened:
        yield opened


def _head(api: API, *lines: str, method: str = "POST", path: str = "/sample") -> bytes:
    key = f"Argus-API-Key: {api.key(Role.ADMINISTRATOR)}"
    start = f"{method} {PREFIX}{path} HTTP/1.1"
    return "\r\n".join([start, "Host: test", key, *lines, "", ""]).encode()


def _everything(opened: socket.socket) -> bytes:
    """Return what comes until the server closes the connection."""
    return b"".join(iter(lambda: opened.recv(65_536), b""))


def _refusal(opened: socket.socket, status: int) -> dict[str, Any]:
    """Return the first message of the envelope that came before the end."""
    head, _, body = _everything(opened).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), head
    assert b"\r\nx-content-type-options: nosniff\r\n" in head + b"\r\n"
    envelope = json.loads(body)
    assert envelope["responseCode"] == status
    message: dict[str, Any] = envelope["messages"][0]
    return message


def test_a_head_that_never_ends_is_told_so(api: API, impatient: None):
    with _connection(api) as opened:
        opened.sendall(_head(api)[:-2])

        message = _refusal(opened, 408)

    assert "no whole request came" in message["message"]


def test_a_head_that_trickles_is_not_waited_for_either(api: API, impatient: None):
    began = time.monotonic()

    with _connection(api) as opened:
        opened.sendall(_head(api)[:-2])
        with contextlib.suppress(OSError):
            while time.monotonic() - began < 30 * _SHORT:
                opened.sendall(b"x")
                time.sleep(_SHORT / 4)

    assert time.monotonic() - began < 20 * _SHORT


def test_a_connection_on_which_nothing_comes_is_closed(api: API, impatient: None):
    with _connection(api) as opened:
        assert _everything(opened) == b""


def test_the_rest_of_a_body_that_nobody_wants_is_not_waited_for(
    api: API, impatient: None
):
    stranger = _head(api, "Content-Length: 9").replace(b"Argus-API-Key", b"X-No-Key")

    with _connection(api) as opened:
        opened.sendall(stranger)
        answer = _everything(opened)

    assert answer.startswith(b"HTTP/1.1 401 ")


def test_requests_one_after_the_other_are_all_answered(api: API, impatient: None):
    asked = _head(api, method="GET", path="/job?limit=1")

    with _connection(api) as opened:
        for _ in range(3):
            opened.sendall(asked)
            answer = HTTPResponse(opened)
            answer.begin()
            assert answer.status == 200
            assert json.loads(answer.read())["limit"] == 1
            time.sleep(_SHORT / 2)
        # Two at once: the second is answered when the first is.
        opened.sendall(asked + asked)
        answers = _everything(opened)

    assert answers.count(b"HTTP/1.1 200 ") == 2


def test_a_request_may_take_longer_than_its_head(
    api: API, impatient: None, monkeypatch: pytest.MonkeyPatch
):
    content = secrets.token_bytes(64)

    with _connection(api) as opened:
        opened.sendall(_head(api, f"Content-Length: {len(content)}"))
        for byte in content[:8]:
            time.sleep(_SHORT / 4)
            opened.sendall(bytes([byte]))
        opened.sendall(content[8:])
        answer = opened.recv(65_536)

    assert answer.startswith(b"HTTP/1.1 201 ")


def test_a_head_that_is_too_large_is_refused(api: API):
    with _connection(api) as opened:
        opened.sendall(_head(api, "X: " + "x" * HEAD_MAX_BYTES)[:-4])

        _refusal(opened, 431)


def test_what_is_no_http_is_refused_in_an_envelope(api: API):
    with _connection(api) as opened:
        opened.sendall(b"what is this?\r\n\r\n")

        _refusal(opened, 400)


def test_a_body_whose_chunks_make_no_sense_is_refused(api: API):
    before = api.counts()
    with _connection(api) as opened:
        opened.sendall(_head(api, "Transfer-Encoding: chunked") + b"2\r\nab\r\nzz\r\n")

        _refusal(opened, 400)

    eventually(lambda: not api.staged())
    assert api.counts() == before


# How fast a body must come.


async def _read_all(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive())["more_body"]:
        pass


def _pace(chunks: list[bytes], *, pause: float, **limits: float) -> None:
    left = list(chunks)

    async def receive() -> Message:
        await anyio.sleep(pause)
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    async def send(_: Message) -> None:
        raise AssertionError

    async def run() -> None:
        await BodyDeadline(_read_all, **limits)({"type": "http"}, receive, send)

    anyio.run(run)


def test_a_body_that_falls_silent_is_not_waited_for():
    with pytest.raises(HTTPException) as caught:
        _pace([b"a", b"b"], pause=60, silence_seconds=0.05)

    assert caught.value.status_code == 408


def test_a_body_that_trickles_is_not_waited_for():
    with pytest.raises(HTTPException) as caught:
        _pace([b"a"] * 100, pause=0.02, silence_seconds=60, body_seconds=0.1)

    assert caught.value.status_code == 408


def test_a_body_that_comes_on_may_take_long():
    chunk = bytes(BYTES_PER_SECOND // 10)

    _pace([chunk] * 20, pause=0.01, silence_seconds=60, body_seconds=0.1)


def test_a_slow_upload_is_answered_and_leaves_nothing(
    api: API, monkeypatch: pytest.MonkeyPatch
):
    before = api.counts()
    monkeypatch.setattr(body_deadline, "SILENCE_SECONDS", _SHORT)

    with serve(create_app(api.services)) as bare:
        url = httpx.URL(bare.base_url)
        where = (url.host, url.port or 0)
        for path in ("/sample", "/job"):
            with socket.create_connection(where, timeout=10) as opened:
                head = _head(api, "Content-Length: 9", path=path)
                opened.sendall(head + b"a")
                message = _refusal(opened, 408)
                assert "too slowly" in message["message"]

    assert api.counts() == before
    assert not api.staged()


# More than can be done.


def test_a_thread_that_does_not_become_free_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(threads, "WAIT_SECONDS", 0.05)
    release = threading.Event()

    async def run() -> list[str]:
        said = []
        limiter = anyio.CapacityLimiter(1)
        async with anyio.create_task_group() as group:

            async def first() -> None:
                # It began in time, and is waited for however long it takes.
                said.append(await in_thread(lambda: _wait(release), limiter))

            group.start_soon(first)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(BusyError):
                await in_thread(lambda: "second", limiter)
            said.append("busy")
            release.set()
        said.append(await in_thread(lambda: "third", limiter))
        return said

    assert anyio.run(run) == ["busy", "first", "third"]


def _wait(release: threading.Event) -> str:
    assert release.wait(10)
    return "first"


def test_who_uploads_more_at_once_than_one_may_keeps_nobody_else_waiting(api: API):
    with contextlib.ExitStack() as stack:
        for _ in range(READERS_PER_USER):
            opened = stack.enter_context(_connection(api))
            opened.sendall(_head(api, "Content-Length: 9"))
        answers: list[httpx.Response] = []

        def is_busy() -> bool:
            answers.append(api.admin.post("/sample", content=b"later"))
            return answers[-1].status_code == 503

        eventually(is_busy)
        other = api.as_(Role.UPLOADER).post("/sample", content=b"another's")

    assert answers[-1].headers["Retry-After"] == "1"
    assert answers[-1].json()["metaData"] == {"code": "busy"}
    assert other.status_code == 201, other.text


# Answers that nobody takes.


@contextlib.contextmanager
def _asking_for(api: API, sha256: str) -> Iterator[socket.socket]:
    """Ask for a sample, with little room for the answer."""
    url = httpx.URL(api.url)
    with socket.socket() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024)
        opened.settimeout(10)
        opened.connect((url.host, url.port or 0))
        opened.sendall(_head(api, method="GET", path=f"/sample/{sha256}/raw"))
        yield opened


def test_an_answer_that_is_not_taken_is_cut_off(
    api: API, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server.BoundedProtocol, "take_seconds", _SHORT)
    sha256 = api.upload(secrets.token_bytes(_LARGE_BYTES))

    with _asking_for(api, sha256) as opened:
        time.sleep(4 * _SHORT)
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while chunk := opened.recv(1_048_576):
                received += len(chunk)

    assert received < _LARGE_BYTES


def test_an_answer_that_is_taken_slowly_comes_whole(
    api: API, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server.BoundedProtocol, "take_seconds", 3 * _SHORT)
    content = secrets.token_bytes(_LARGE_BYTES)
    sha256 = api.upload(content)

    with _asking_for(api, sha256) as opened:
        answer = HTTPResponse(opened)
        answer.begin()
        parts = []
        while part := answer.read(_LARGE_BYTES // 20):
            parts.append(part)
            time.sleep(_SHORT / 4)

    assert b"".join(parts) == content


# A store that is away.


@pytest.fixture
def without_store(
    database_server: DatabaseServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[API]:
    """An API whose object store does not answer; its database does."""
    # Nobody listens there.
    monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    name = database_server.create()
    url = database_server.url_of(name)
    with (
        open_services(url, tmp_path, store="s3://assay") as services,
        run_api(services, tmp_path) as running,
    ):
        yield running
    database_server.drop(name)


def test_a_store_that_is_away_is_503_within_the_clients_patience(without_store: API):
    client = without_store.admin
    client.timeout = httpx.Timeout(30)
    before = without_store.counts()

    answer = client.post("/sample", content=b"not now")

    assert answer.status_code == 503, answer.text
    assert answer.headers["Retry-After"] == "1"
    assert answer.json()["metaData"] == {"code": "store_unavailable"}
    assert without_store.counts() == before


def test_a_folder_that_was_unmounted_has_lost_nothing(
    database_server: DatabaseServer, tmp_path: Path
):
    folder = tmp_path / "samples"
    store = SampleStore.from_url(str(folder))
    received = store.receive([b"here"], limit_bytes=4)
    store.keep(received)
    sha256 = received.digests.sha256
    name = database_server.create()
    with (
        open_services(database_server.url_of(name), folder) as services,
        run_api(services, folder) as running,
    ):
        running.upload(b"here")
        folder.rename(tmp_path / "elsewhere")
        away = running.admin.get(f"/sample/{sha256}/raw")
        refused = running.admin.post("/sample", content=b"more")
        (tmp_path / "elsewhere").rename(folder)
        back = running.admin.get(f"/sample/{sha256}/raw")
    database_server.drop(name)

    assert away.status_code == refused.status_code == 503
    assert first_message(away)["message"].startswith("the sample store")
    assert back.content == b"here"
