"""
What may stand in the head of a request, and between the chunks of its body.

h11 takes some of what only old programs sent: lines that end with LF alone, lines that
go on in the next, a length beside chunks. A proxy in front of us may read such a head
otherwise than we do, and where one request ends is then a matter of opinion. Here it is
refused. How large a head may be is counted here too, for h11 only counts what is not
whole yet.
"""

from __future__ import annotations

import re
from http import HTTPStatus

import h11
from h11._receivebuffer import ReceiveBuffer
from typing_extensions import override

#: Bytes of the request line and headers: a hundred keywords in an address still fit.
#: Trailers and what chunks say beside their size count too.
HEAD_MAX_BYTES = 64 * 1024

#: As h11 finds the end of a head, whatever its lines end with.
_BLANK_LINE = re.compile(rb"\n\r?\n")

_LONE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_FOLDED = re.compile(rb"\r\n[ \t]")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_CHUNK = re.compile(rb"[0-9A-Fa-f]{1,16}(?P<rest>;[^\r\n]*)?\r\n")
_VERSIONS = (b"HTTP/1.0", b"HTTP/1.1")


class StrictHeadError(h11.RemoteProtocolError):
    """The head is not one that everybody reads alike; the message says why."""


class StrictBuffer(ReceiveBuffer):
    """h11's buffer of what has come, of which it takes heads, chunks and trailers."""

    def __init__(self) -> None:
        super().__init__()
        self._head_bytes = 0
        self._is_in_chunks = False

    @override
    def maybe_extract_lines(self) -> list[bytearray] | None:
        """Return the lines of a whole head, or of trailers."""
        raw = self._whole()
        if raw is None:
            return super().maybe_extract_lines()
        is_head, self._is_in_chunks = not self._is_in_chunks, False
        if is_head:
            self._head_bytes = 0
        self._count(len(raw))
        _check_lines(raw)
        if is_head:
            _check_framing(raw)
        return super().maybe_extract_lines()

    @override
    def maybe_extract_next_line(self) -> bytearray | None:
        """Return the line before a chunk."""
        self._is_in_chunks = True
        line = super().maybe_extract_next_line()
        if line is None:
            # The byte that may still be a whole line's end is left out.
            _check_lines(bytes(self._data[:HEAD_MAX_BYTES]).rstrip(b"\r"))
            return None
        found = _CHUNK.fullmatch(line)
        if found is None:
            raise StrictHeadError("a chunk has no size that everybody reads alike")
        self._count(len(found["rest"] or b""))
        _check_lines(bytes(line))
        return line

    def _whole(self) -> bytes | None:
        if self._data[:2] == b"\r\n":
            return b"\r\n"
        found = _BLANK_LINE.search(self._data, self._multiple_lines_search)
        return None if found is None else bytes(self._data[: found.end()])

    def _count(self, size_bytes: int) -> None:
        self._head_bytes += size_bytes
        if self._head_bytes > HEAD_MAX_BYTES:
            raise StrictHeadError(
                f"the head is larger than {HEAD_MAX_BYTES} bytes, with its trailers",
                error_status_hint=HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            )


def strict_connection() -> h11.Connection:
    """Return h11's side of a new connection, that takes strict heads alone."""
    connection = h11.Connection(h11.SERVER, HEAD_MAX_BYTES)
    # It has no other way in; the tests of heads hold that it is one.
    connection._receive_buffer = StrictBuffer()  # noqa: SLF001
    return connection


def _check_lines(raw: bytes) -> None:
    if _LONE.search(raw):
        raise StrictHeadError("a line ends with CR or LF alone; end it with both")
    if _FOLDED.search(raw):
        raise StrictHeadError("a header goes on in the next line; write it in one")
    if _CONTROL.search(raw):
        raise StrictHeadError("the head holds a control character")


def _check_framing(raw: bytes) -> None:
    request, *lines = raw.split(b"\r\n")
    fields = [line.partition(b":") for line in lines]
    values = [(name.lower(), value.strip(b" \t")) for name, _, value in fields]
    lengths = [value for name, value in values if name == b"content-length"]
    codings = [value for name, value in values if name == b"transfer-encoding"]
    if lengths and codings:
        raise StrictHeadError("both Content-Length and Transfer-Encoding; send one")
    if len(lengths) > 1 or b"," in b"".join(lengths):
        raise StrictHeadError("several Content-Length; send one")
    if codings and not request.endswith(b"HTTP/1.1"):
        raise StrictHeadError("Transfer-Encoding is of HTTP/1.1")
    if codings and [coding.lower() for coding in codings] != [b"chunked"]:
        raise StrictHeadError(
            "Transfer-Encoding other than chunked",
            error_status_hint=HTTPStatus.NOT_IMPLEMENTED,
        )
    if b" HTTP/" in request and not request.endswith(_VERSIONS):
        raise StrictHeadError(
            "neither HTTP/1.1 nor HTTP/1.0",
            error_status_hint=HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
        )
