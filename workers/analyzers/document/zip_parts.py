"""
Reads ZIP packages within a budget: what names the others first, nothing twice.

A bomb is told from a large document by how it is made: members that share bytes, or
more than the budget at a ratio that no content reaches. Does not judge what it reads.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import PurePosixPath
from typing import BinaryIO

from workers.analyzers.document.budget import MOST_PARTS, PART_BYTES, TOTAL_BYTES
from workers.analyzers.document.facts import PARSER_ERRORS, Document

#: Python reads the whole directory at once: this much holds some 50,000 members.
_DIRECTORY_BYTES = 4 * 1024 * 1024
#: The end of a ZIP file: a record of 22 bytes, a comment, and the 64-bit forms before.
_TAIL_BYTES = 22 + 65_535 + 76
#: Bytes of a local header before its name.
_LOCAL_HEADER_BYTES = 30
#: XML packs to a twentieth, empty pictures to a hundredth.
_ABSURD_RATIO = 100
#: Endings of the parts that say what there is; the rest is content.
MARKUP = frozenset({".xml", ".rels", ".vml"})


class TooManyMembersError(Exception):
    """The directory is longer than any document's; it was not read."""


def open_package(stream: BinaryIO) -> zipfile.ZipFile:
    """
    Open a ZIP file whose directory is of a size that documents have.

    Raises:
        TooManyMembersError: It is not; nothing was unpacked.
        zipfile.BadZipFile: It cannot be read.
    """
    if _directory_bytes(stream) > _DIRECTORY_BYTES:
        raise TooManyMembersError
    stream.seek(0)
    return zipfile.ZipFile(stream)


def read_parts(
    archive: zipfile.ZipFile, document: Document
) -> Iterator[tuple[str, bytes]]:
    """
    Yield the name and the bytes of each part, relationships and XML before the rest.

    Parts that overlap, cannot be read or are too large are findings instead.
    """
    members = _distinct_members(archive, document)
    _judge_sizes(members, document)
    if len(members) > MOST_PARTS:
        document.findings.cut("parts", f"{MOST_PARTS} of {len(members)}")
    for info in islice(sorted(members, key=_rank), MOST_PARTS):
        data = _read_part(archive, info, document)
        if data is not None:
            yield info.filename, data
        if document.budget.is_spent:
            document.stop_reading(info.filename)
            return


def _directory_bytes(stream: BinaryIO) -> int:
    """What the end of the file says of its directory; 0 where it says nothing."""
    stream.seek(max(0, stream.seek(0, 2) - _TAIL_BYTES))
    tail = stream.read(_TAIL_BYTES)
    sizes = [0]
    end = tail.rfind(b"PK\x05\x06")
    if end >= 0 and len(tail) >= end + 16:
        sizes.append(struct.unpack_from("<I", tail, end + 12)[0])
    end = tail.rfind(b"PK\x06\x06")
    if end >= 0 and len(tail) >= end + 48:
        # A full field of the plain record only points to the one with 64 bits.
        sizes = [0, struct.unpack_from("<Q", tail, end + 40)[0]]
    return max(sizes)


def _distinct_members(
    archive: zipfile.ZipFile, document: Document
) -> list[zipfile.ZipInfo]:
    """The members that share no byte with one before; shared ones are a finding."""
    distinct = []
    end = 0
    for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
        if info.is_dir():
            continue
        if info.header_offset < end:
            document.findings.add("bomb", where=info.filename, detail="members overlap")
            document.findings.cut(info.filename, "not read")
            continue
        end = info.header_offset + _LOCAL_HEADER_BYTES + info.compress_size
        distinct.append(info)
    return distinct


def _judge_sizes(members: list[zipfile.ZipInfo], document: Document) -> None:
    absurd = [
        info
        for info in members
        if info.file_size > _ABSURD_RATIO * max(info.compress_size, 1)
    ]
    size = sum(info.file_size for info in absurd)
    if size > TOTAL_BYTES:
        detail = f"{size} bytes in {len(absurd)} parts"
        document.findings.add("bomb", where=absurd[0].filename, detail=detail)


def _rank(info: zipfile.ZipInfo) -> tuple[int, int]:
    """What tells where things are comes first, then what is small."""
    path = PurePosixPath(info.filename.lower())
    first = 0 if path.suffix == ".rels" or path.name == "[content_types].xml" else 2
    if path.suffix in MARKUP and first:
        first = 1
    return first, info.file_size


def _read_part(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, document: Document
) -> bytes | None:
    if info.file_size > PART_BYTES:
        document.findings.add("part_too_large", where=info.filename)
        amount = f"{PART_BYTES} of {info.file_size} bytes"
        document.findings.cut(info.filename, amount)
    if not document.budget.spend(min(info.file_size, PART_BYTES)):
        return None
    try:
        with archive.open(info) as stream:
            return stream.read(PART_BYTES)
    except (*PARSER_ERRORS, MemoryError):
        # A method other than Office's own may ask for gigabytes before it begins.
        document.findings.add("part_unreadable", where=info.filename)
        return None
