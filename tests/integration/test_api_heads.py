"""
Heads that two programs could read in two ways are refused, on real sockets.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from orchestrator.api.http.strict_head import HEAD_MAX_BYTES
from tests.fixtures.api import API
from tests.fixtures.waiting import PATIENCE_SECONDS

_FIRST = "POST /health/live HTTP/1.1\r\nHost: a\r\n"
_CHUNKED = f"{_FIRST}Transfer-Encoding: chunked\r\n\r\n"
_END = "0\r\n\r\n"
_X = "x" * 1000

#: By what is wrong: the status, and all that is sent.
REFUSED: dict[str, tuple[int, str]] = {
    "a length beside chunks": (
        400,
        f"{_FIRST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n{_END}",
    ),
    "chunks beside a length": (
        400,
        f"{_FIRST}transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n{_END}",
    ),
    "two lengths": (400, f"{_FIRST}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    "one length twice": (
        400,
        f"{_FIRST}Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
    ),
    "a list of lengths": (400, f"{_FIRST}Content-Length: 1, 1\r\n\r\na"),
    "a signed length": (400, f"{_FIRST}Content-Length: +1\r\n\r\na"),
    "a negative length": (400, f"{_FIRST}Content-Length: -1\r\n\r\na"),
    "a length in hex": (400, f"{_FIRST}Content-Length: 0x1\r\n\r\na"),
    "no length": (400, f"{_FIRST}Content-Length:\r\n\r\n"),
    "a length without end": (400, f"{_FIRST}Content-Length: {'9' * 40}\r\n\r\n"),
    "another number": (400, f"{_FIRST}Content-Length: \u0661\r\n\r\na"),
    "a header in two lines": (400, f"{_FIRST}X: a\r\n b\r\n\r\n"),
    "a header in two lines, by a tab": (400, f"{_FIRST}X: a\r\n\tb\r\n\r\n"),
    "a first header that goes on": (400, f"{_FIRST} X: a\r\n\r\n"),
    "LF alone": (400, f"{_FIRST}X: a\nY: b\r\n\r\n"),
    "LF alone, everywhere": (400, _FIRST.replace("\r", "") + "\n"),
    "LF alone, at the end": (400, f"{_FIRST}X: a\r\n\n"),
    "CR alone": (400, f"{_FIRST}X: a\rY: b\r\n\r\n"),
    "a blank before the colon": (400, f"{_FIRST}X : a\r\n\r\n"),
    "a tab before the colon": (400, f"{_FIRST}X\t: a\r\n\r\n"),
    "a length, a blank, and chunks": (
        400,
        f"{_FIRST}Content-Length : 5\r\nTransfer-Encoding: chunked\r\n\r\n{_END}",
    ),
    "no name": (400, f"{_FIRST}: a\r\n\r\n"),
    "a name in parentheses": (400, f"{_FIRST}X(a): a\r\n\r\n"),
    **{
        f"control character {code}": (400, f"{_FIRST}X: a{chr(code)}b\r\n\r\n")
        for code in (*range(9), 11, 12, *range(14, 32), 127)
    },
    "another coding": (501, f"{_FIRST}Transfer-Encoding: gzip\r\n\r\n"),
    "two codings": (501, f"{_FIRST}Transfer-Encoding: gzip, chunked\r\n\r\n{_END}"),
    "chunks twice": (501, f"{_FIRST}Transfer-Encoding: chunked, chunked\r\n\r\n{_END}"),
    "chunks in two headers": (
        501,
        f"{_FIRST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    "no coding": (501, f"{_FIRST}Transfer-Encoding:\r\n\r\n"),
    "a coding in quotes": (501, f'{_FIRST}Transfer-Encoding: "chunked"\r\n\r\n{_END}'),
    "the coding of nothing": (501, f"{_FIRST}Transfer-Encoding: identity\r\n\r\n"),
    "chunks of HTTP/1.0": (400, _CHUNKED.replace("/1.1", "/1.0") + _END),
    "another version": (505, _FIRST.replace("/1.1", "/1.2") + "\r\n"),
    "no host": (400, "GET /health/live HTTP/1.1\r\n\r\n"),
    "two hosts": (400, f"{_FIRST}Host: b\r\n\r\n"),
    "two blanks": (400, _FIRST.replace(" /", "  /") + "\r\n"),
    "a control character in the address": (
        400,
        _FIRST.replace("live", "l\x01") + "\r\n",
    ),
    "a chunk's size with a blank": (400, f"{_CHUNKED}1 \r\na\r\n{_END}"),
    "a chunk's size with a sign": (400, f"{_CHUNKED}+1\r\na\r\n{_END}"),
    "a chunk's size in C": (400, f"{_CHUNKED}0x1\r\na\r\n{_END}"),
    "a chunk's size without end": (400, f"{_CHUNKED}{'0' * 17}1\r\na\r\n{_END}"),
    "chunks by LF alone": (400, f"{_CHUNKED}1\na\n0\n\n"),
    "an extension by LF alone": (400, f"{_CHUNKED}1;a\nb\r\na\r\n{_END}"),
    "an extension with NUL": (400, f"{_CHUNKED}1;a\0b\r\na\r\n{_END}"),
    "a chunk longer than it says": (400, f"{_CHUNKED}1\r\nab\r\n{_END}"),
    "a trailer in two lines": (400, f"{_CHUNKED}0\r\nX: a\r\n b\r\n\r\n"),
    "a trailer by LF alone": (400, f"{_CHUNKED}0\r\nX: a\n\r\n"),
    "a trailer with NUL": (400, f"{_CHUNKED}0\r\nX: \0\r\n\r\n"),
    "a long address": (431, f"GET /{_X * 70} HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a long header": (431, f"{_FIRST}X: {_X * 70}\r\n\r\n"),
    "a long name": (431, f"{_FIRST}{_X * 70}: a\r\n\r\n"),
    "many headers": (431, _FIRST + f"X: {_X}\r\n" * 70 + "\r\n"),
    "very many headers": (431, _FIRST + "X: y\r\n" * 100_000 + "\r\n"),
    "a head without end": (431, f"{_FIRST}X: {_X * 70}"),
    "a long extension": (431, f"{_CHUNKED}1;a={_X * 70}\r\na\r\n{_END}"),
    "many extensions": (431, _CHUNKED + f"1;a={_X}\r\na\r\n" * 70 + _END),
    "long trailers": (431, f"{_CHUNKED}0\r\nX: {_X * 70}\r\n\r\n"),
    "many trailers": (431, f"{_CHUNKED}0\r\n" + f"X: {_X}\r\n" * 70 + "\r\n"),
    "all of it together": (
        431,
        _CHUNKED.replace("/health/live", f"/{_X * 17}").replace(
            "Host", f"X: {_X * 17}\r\nHost"
        )
        + f"1;{_X * 17}\r\na\r\n0\r\nX: {_X * 17}\r\n\r\n",
    ),
}

#: What looks like it and is in order: what comes after it is answered.
TAKEN = {
    "a tab in a value": f"{_FIRST}X: a\tb\r\n\r\n",
    "letters of Latin-1": f"{_FIRST}X: \xe6\xf8\xe5\r\n\r\n",
    "an empty value": f"{_FIRST}X:\r\n\r\n",
    "blanks around a length": f"{_FIRST}Content-Length:  1 \t\r\n\r\na",
    "chunks in capitals": _CHUNKED.replace("chunked", "Chunked") + _END,
    "an extension": f"{_CHUNKED}1;a=b\r\na\r\n{_END}",
    "a trailer": f"{_CHUNKED}1\r\na\r\n0\r\nX: a\r\n\r\n",
    "many chunks": _CHUNKED + "1\r\na\r\n" * 20_000 + _END,
    "a large head": f"{_FIRST}X: {'x' * (HEAD_MAX_BYTES - 1000)}\r\n\r\n",
    "NUL in a body": f"{_FIRST}Content-Length: 5\r\n\r\n\0\n\r\x01\x7f",
    "one request after the other": f"{_FIRST}X: {_X * 40}\r\n\r\n" * 3,
}


def _sent(api: API, text: str) -> Iterator[bytes]:
    url = httpx.URL(api.url)
    with socket.create_connection(
        (url.host, url.port or 0), timeout=PATIENCE_SECONDS
    ) as opened:
        opened.sendall(text.encode("utf-8" if max(text) > "\xff" else "latin-1"))
        yield from iter(lambda: opened.recv(65_536), b"")


@pytest.mark.parametrize("what", REFUSED)
def test_what_could_be_read_in_two_ways_is_refused_and_the_connection_closed(
    api: API, what: str
):
    status, text = REFUSED[what]

    answer = b"".join(_sent(api, text))

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert b"\r\nconnection: close" in head.lower()
    assert json.loads(body)["responseCode"] == status
    assert answer.count(b"responseCode") == 1


@pytest.mark.parametrize("what", TAKEN)
def test_what_is_in_order_is_taken_and_what_follows_too(api: API, what: str):
    last = "GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

    answers = b"".join(_sent(api, TAKEN[what] + last))

    # The first is no operation, and has its answer all the same.
    expected = TAKEN[what].count("POST /") * [b"405"] + [b"200"]
    assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == expected
