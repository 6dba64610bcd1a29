from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from orchestrator.client.failures import ClientError
from orchestrator.client.http import Client, segment
from orchestrator.domain.errors import (
    AssayError,
    ConfigurationError,
    InvalidError,
    UnavailableError,
)


@dataclass
class Server:
    """Answers every request with what the test says, and keeps what came."""

    url: str = ""
    status: int = 200
    body: bytes = b""
    #: Data of the next answers, one each; after them it is the body again.
    pages: list[list[int]] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def say(self, status: int, *messages: dict[str, Any], data: object = None) -> None:
        envelope = {"responseCode": status, "messages": messages, "data": data}
        self.status, self.body = status, json.dumps(envelope).encode()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        size = int(handler.headers.get("Content-Length", 0))
        body = handler.rfile.read(size)
        came = (handler.command, handler.path, dict(handler.headers), body)
        self.requests.append(came)
        if self.pages:
            self.say(200, data=self.pages.pop(0))
        handler.send_response(self.status)
        handler.send_header("Content-Length", str(len(self.body)))
        handler.end_headers()
        handler.wfile.write(self.body)


@pytest.fixture
def server() -> Iterator[Server]:
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.answer(self)

        def do_POST(self) -> None:
            told.answer(self)

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the test's output is the test's."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        told.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield told
        http.shutdown()
        thread.join()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.url, "a-key") as client:
        yield client


def complaint(client: Client) -> str:
    with pytest.raises(AssayError) as caught:
        client.get("/job")
    assert "\n" not in caught.value.message
    return caught.value.message


def test_the_data_of_the_envelope_is_returned(server: Server, client: Client):
    server.say(200, data=[{"id": 1}])

    assert client.get("/job", limit=5, state=None) == [{"id": 1}]
    _method, path, headers, _body = server.requests[0]
    assert path == "/sampledb/v2/job?limit=5"
    assert headers["Argus-API-Key"] == "a-key"


@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        (403, "Forbidden"),
        (404, "Not Found"),
        (412, "Precondition Failed"),
        (413, "Request Entity Too Large"),
        (500, "Internal Server Error"),
        (503, "Service Unavailable"),
    ],
)
def test_an_error_is_the_apis_own_sentence_and_the_status(
    server: Server, client: Client, status: int, phrase: str
):
    server.say(status, {"message": "that is so", "field": None})

    assert complaint(client) == f"that is so ({status} {phrase})"


def test_a_refused_key_says_which_setting_it_is(server: Server, client: Client):
    server.say(401, {"message": "the key is not valid"})

    assert "ASSAY_API_KEY" in complaint(client)


def test_the_field_that_is_wrong_is_named(server: Server, client: Client):
    server.say(412, {"message": "is too high", "field": "priority"}, {"message": "no"})

    assert complaint(client).startswith("priority: is too high; no (412")


def test_a_field_that_a_message_names_itself_is_named_once(
    server: Server, client: Client
):
    server.say(412, {"message": "workers: not registered: x", "field": "workers"})

    assert complaint(client).startswith("workers: not registered: x (412")


def test_an_error_of_many_lines_and_colours_is_one_plain_line(
    server: Server, client: Client
):
    server.say(500, {"message": "one\ntwo\x1b[31m"})

    assert complaint(client) == "one two[31m (500 Internal Server Error)"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"data": 1}', b"\xff"])
@pytest.mark.parametrize("status", [200, 301, 502])
def test_somebody_elses_answer_is_told_from_ours(
    server: Server, client: Client, status: int, body: bytes
):
    server.status, server.body = status, body

    assert "is ASSAY_API_URL right?" in complaint(client)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_that_does_not_reach_the_api_is_asked_again(
    server: Server, client: Client, status: int
):
    server.status, server.body = status, b"<html>"

    with pytest.raises(UnavailableError, match="a proxy that does not reach it"):
        client.get("/job")


def test_where_nobody_listens_the_address_is_named(server: Server):
    # Port 9 is reserved, and below what an ordinary program may take.
    with Client("http://127.0.0.1:9", "a-key") as client:
        message = complaint(client)

    assert "nobody answers at http://127.0.0.1:9" in message
    assert "assay up" in message


@pytest.mark.parametrize("url", ["http://[::", "127.0.0.1:8000", "ftp://127.0.0.1"])
def test_what_is_no_address_is_a_setting_to_change(url: str):
    with (
        pytest.raises(ConfigurationError, match="ASSAY_API_URL"),
        Client(url, "a-key") as client,
    ):
        client.get("/job")


@pytest.mark.parametrize("key", ["ключ", "two\nlines"])
def test_what_can_be_no_key_is_a_setting_to_change(key: str):
    with pytest.raises(ConfigurationError, match="ASSAY_API_KEY"):
        Client("http://127.0.0.1:9", key)


def test_an_upload_is_announced_sent_whole_and_counted(
    server: Server, client: Client, tmp_path: Path
):
    content = bytes(range(256)) * 3000
    (tmp_path / "sample").write_bytes(content)
    server.say(201, data={"sample": {"id": "ab"}})
    steps: list[int] = []

    sha256 = client.upload(tmp_path / "sample", progressed=steps.append)

    method, path, headers, body = server.requests[0]
    assert (sha256, method, path) == ("ab", "POST", "/sampledb/v2/sample")
    assert headers["Content-Length"] == str(len(content))
    assert "Transfer-Encoding" not in headers
    assert body == content
    assert sum(steps) == len(content)
    assert len(steps) > 1


def test_an_empty_file_can_be_sent(server: Server, client: Client, tmp_path: Path):
    (tmp_path / "empty").touch()
    server.say(201, data={"sample": {"id": "e3"}})

    assert client.upload(tmp_path / "empty") == "e3"


def test_a_file_that_cannot_be_read_is_no_traceback(client: Client, tmp_path: Path):
    with pytest.raises(ClientError, match="cannot be read: No such file"):
        client.upload(tmp_path / "gone")


def test_every_page_of_a_list_is_fetched(server: Server, client: Client):
    items = list(range(1003))
    server.pages = [items[:1000], items[1000:]]

    assert client.get_all("/worker") == items
    offsets = [path.rpartition("offset=")[2] for _, path, _, _ in server.requests]
    assert offsets == ["0", "1000"]


def test_what_is_typed_stays_one_segment_of_the_path():
    assert segment("../worker?x=1") == "..%2Fworker%3Fx%3D1"


def test_a_connection_that_was_closed_is_an_error_of_ours(server: Server):
    client = Client(server.url, "a-key")
    client.close()

    with pytest.raises(ClientError, match="has been closed"):
        client.get("/job")
    assert server.requests == []


@pytest.mark.parametrize("wanted", ["\udcff", "x" * 70_000])
def test_what_no_address_can_hold_is_an_error_of_ours(client: Client, wanted: str):
    with pytest.raises(ClientError, match="not text"):
        client.get("/find", q=wanted)


@pytest.mark.parametrize("value", [float("nan"), object()])
def test_what_json_cannot_hold_is_an_error_of_ours(client: Client, value: object):
    with pytest.raises(InvalidError, match="cannot be written as JSON"):
        client.post("/job", {"options": {"depth": value}})


def test_half_a_surrogate_pair_goes_for_the_api_to_refuse(
    server: Server, client: Client
):
    server.say(200)

    client.post("/job", {"fileName": "\udcff"})

    _method, _path, headers, body = server.requests[0]
    assert headers["Content-Type"] == "application/json"
    assert body == b'{"fileName": "\\udcff"}'


def test_a_file_that_changes_while_it_is_sent_is_an_error_of_ours(
    client: Client, tmp_path: Path
):
    path = tmp_path / "log"
    path.write_bytes(bytes(1024 * 1024))

    def grow(_: int) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    with pytest.raises(ClientError, match="changes while it is read"):
        client.send("/sample", path, progressed=grow)
    with pytest.raises(ClientError, match="changes while it is read"):
        client.send("/sample", path, progressed=lambda _: os.truncate(path, 0))
