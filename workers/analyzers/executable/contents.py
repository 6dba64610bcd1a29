"""
Measures what sections hold, within a budget: tables may give the same bytes thrice.

Reads no structure beyond a PE file's section table.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Any

#: What sections may hold together, in sizes of the file. They share bytes only where
#: somebody wants each of them read again.
_MOST_TIMES = 2
_MOST_MORE_BYTES = 16 * 1024 * 1024

_PE_HEADER_AT = 0x3C
_SECTION_BYTES = 40


class Contents:
    """What is left to measure of one program."""

    def __init__(self, file_size: int) -> None:
        self._left = _limit(file_size)
        self.unmeasured = 0

    def measure(self, part: Any) -> tuple[float, str | None]:
        """Return a section's entropy, and its SHA-256 if it holds anything."""
        digest = self.digest(part.content)
        return part.entropy if digest else 0.0, digest

    def digest(self, content: memoryview) -> str | None:
        """Return the SHA-256 of *content*, if there is any and it may still be read."""
        if not len(content):
            return None
        self._left -= len(content)
        if self._left < 0:
            self.unmeasured += 1
            return None
        return hashlib.sha256(content).hexdigest()


def is_section_bomb(path: str, file_size: int) -> bool:
    """
    Whether the sections of a PE file hold far more together than there is.

    The library copies each: a few thousand that share a few megabytes are gigabytes.
    """
    with open(path, "rb") as stream:  # noqa: PTH123  (as the library takes it)
        head = stream.read(_PE_HEADER_AT + 4)
        if len(head) < _PE_HEADER_AT + 4:
            return False
        stream.seek(struct.unpack_from("<I", head, _PE_HEADER_AT)[0])
        header = stream.read(24)
        if len(header) < 24 or not header.startswith(b"PE\0\0"):  # noqa: PLR2004
            return False
        count, optional = struct.unpack_from("<6xH12xH", header)
        stream.seek(optional, 1)
        table = stream.read(count * _SECTION_BYTES)
    places = (
        struct.unpack_from("<2I", table, at + 16)
        for at in range(0, len(table) - _SECTION_BYTES + 1, _SECTION_BYTES)
    )
    held = sum(max(0, min(size, file_size - offset)) for size, offset in places)
    return bool(held > _limit(file_size))


def _limit(file_size: int) -> int:
    return _MOST_TIMES * file_size + _MOST_MORE_BYTES
