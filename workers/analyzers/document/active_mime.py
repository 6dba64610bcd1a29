"""
Takes macro projects out of ActiveMime, in which Office packs them for XML and MIME.

Finds and inflates; ``ole`` and ``macros`` read what comes out. Inflates within bounds:
the library that knows the format would not.
"""

from __future__ import annotations

import email
import re
import struct
import zlib
from collections.abc import Iterator
from email.policy import Compat32
from itertools import islice

from typing_extensions import override

from workers.analyzers.document.budget import PART_BYTES
from workers.analyzers.document.facts import PARSER_ERRORS, Document
from workers.analyzers.document.markup import base64_at

_MAGIC = b"ActiveMime"
#: Where the compressed data begins in what Word and Excel write.
_USUAL_OFFSETS = (0x32, 0x22A)
_OFFSET_FIELD = 0x1E
_OFFSET_BASE = 46
#: The magic in Base64; what stands before it in an element is its tag alone.
_ENCODED_MAGIC = "QWN0aXZlTWltZ"
_MOST_PROJECTS = 20
_MOST_MIME_PARTS = 1000
#: A line that may begin or end a part.
_DELIMITER = re.compile(rb"\n--")
_LINE_END = re.compile(rb"\n")
#: Lines that are looked at, at some microseconds each: Base64 of the most bytes that
#: are has half of it.
_MOST_LINES = 1_000_000
#: Characters of one header: the library takes the square of its parameters' number.
_HEADER_CHARACTERS = 4 * 1024


class _ShortHeaders(Compat32):
    """Reads a message as ever, but of each header no more than any program writes."""

    #: Headers that were cut; counted here, since a policy itself may not change.
    cut = 0

    @override
    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        _ShortHeaders.cut += len(value) > _HEADER_CHARACTERS
        return name, value[:_HEADER_CHARACTERS]


_POLICY = _ShortHeaders()


def projects_of_xml(text: str, document: Document) -> Iterator[bytes]:
    """Yield the OLE file of each ActiveMime that *text* holds as Base64."""
    at = 0
    for _ in range(_MOST_PROJECTS):
        at = text.find(_ENCODED_MAGIC, at)
        if at < 0:
            return
        packed = base64_at(text, at)
        at += max(len(packed), 1)
        yield from _project(packed, document)


def projects_of_mime(data: bytes, document: Document) -> Iterator[bytes]:
    """Yield the OLE file of each ActiveMime among the parts of a MIME message."""
    begin = _beginning(data)
    if begin < len(data):
        detail = "too many MIME parts, lines or bytes"
        document.findings.add("reading_stopped", detail=detail)
        document.findings.cut("MIME", f"{begin} of {len(data)} bytes")
    cut = _ShortHeaders.cut
    try:
        message = email.message_from_bytes(data[:begin], policy=_POLICY)
        for part in islice(message.walk(), _MOST_MIME_PARTS):
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes):
                yield from _project(payload, document)
    except PARSER_ERRORS:
        document.findings.add("part_unreadable", detail="the MIME parts")
    if _ShortHeaders.cut > cut:
        document.findings.cut(
            "MIME headers", f"{_HEADER_CHARACTERS} characters of more"
        )


def _beginning(data: bytes) -> int:
    """As many bytes as hold the parts that are looked at; each line takes time."""
    ends = [min(len(data), PART_BYTES)]
    for mark, most in ((_DELIMITER, 2 * _MOST_MIME_PARTS), (_LINE_END, _MOST_LINES)):
        marks = mark.finditer(data, 0, PART_BYTES)
        if (last := next(islice(marks, most, None), None)) is not None:
            ends.append(last.start())
    return min(ends)


def _project(data: bytes, document: Document) -> Iterator[bytes]:
    if not data.startswith(_MAGIC):
        return
    offsets = list(_USUAL_OFFSETS)
    if len(data) >= _OFFSET_FIELD + 2:
        offsets.insert(
            0, struct.unpack_from("<H", data, _OFFSET_FIELD)[0] + _OFFSET_BASE
        )
    for offset in offsets:
        inflater = zlib.decompressobj()
        try:
            inflated = inflater.decompress(data[offset:], PART_BYTES)
        except zlib.error:
            continue
        if inflater.unconsumed_tail:
            document.findings.add("bomb", detail="a macro project")
            document.findings.cut("a macro project", "not unpacked")
        else:
            yield inflated
        return
    document.findings.add("macro_unreadable", detail="a packed macro project")
