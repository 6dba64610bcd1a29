"""
Builds a picture: a small gradient as PNG, with a comment chunk.
"""

from __future__ import annotations

import struct
import zlib

from orchestrator.demo.files.recipe import Recipe

_SIDE = 32


def png(recipe: Recipe) -> bytes:
    """Build a true-colour picture of 32 by 32 pixels."""
    rows = (
        b"\0" + b"".join(bytes((x * 8, y * 8, 128)) for x in range(_SIDE))
        for y in range(_SIDE)
    )
    header = struct.pack(">2I5B", _SIDE, _SIDE, 8, 2, 0, 0, 0)
    comment = f"Comment\0{recipe.label} {recipe.filler_text}".encode("latin-1")
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"tEXt", comment)
        + _chunk(b"IDAT", zlib.compress(b"".join(rows), 9))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
