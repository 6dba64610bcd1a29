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
from itertools import islice

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
        document.findings.add("reading_stopped", detail="too many MIME parts or bytes")
        document.findings.cut("MIME", f"{begin} of {len(data)} bytes")
    try:
        message = email.message_from_bytes(data[:begin])
        for part in islice(message.walk(), _MOST_MIME_PARTS):
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes):
                yield from _project(payload, document)
    except PARSER_ERRORS:
        document.findings.add("part_unreadable", detail="the MIME parts")


def _beginning(data: bytes) -> int:
    """As many bytes as hold the parts that are looked at; each line takes time."""
    lines = _DELIMITER.finditer(data, 0, PART_BYTES)
    last = next(islice(lines, 2 * _MOST_MIME_PARTS, None), None)
    return min(len(data), PART_BYTES) if last is None else last.start()


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
