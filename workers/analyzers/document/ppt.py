"""
Takes the embedded objects out of PowerPoint's stream of records.

Walks the records at the top, by their lengths, as [MS-PPT] has them. What the
objects hold is for others to say.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from workers.analyzers.document.budget import PART_BYTES
from workers.analyzers.document.facts import Document

_STORAGE = 0x1011
#: Instance of a storage that is compressed, behind its size.
_COMPRESSED = 1
#: A presentation of hundreds of slides has some ten thousand records at the top.
_MOST_RECORDS = 100_000
_MOST_STORAGES = 200


def read_storages(data: bytes, document: Document) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of each stored object; a bomb is a finding instead."""
    at = found = 0
    for _ in range(_MOST_RECORDS):
        if at + 8 > len(data) or found == _MOST_STORAGES:
            return
        version, kind, size = struct.unpack_from("<HHI", data, at)
        body = data[at + 8 : at + 8 + size]
        at += 8 + size
        if kind != _STORAGE:
            continue
        found += 1
        storage = body if version >> 4 != _COMPRESSED else _inflated(body, document)
        if storage is None:
            continue
        if not document.budget.spend(len(storage)):
            document.stop_reading("PowerPoint Document")
            return
        yield found, storage


def _inflated(body: bytes, document: Document) -> bytes | None:
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(body[4:], PART_BYTES)
    except zlib.error:
        document.findings.add("part_unreadable", where="PowerPoint Document")
        return None
    if inflater.unconsumed_tail:
        document.findings.add("bomb", where="PowerPoint Document", detail="an object")
        document.findings.cut("an object", "not unpacked")
        return None
    return data
