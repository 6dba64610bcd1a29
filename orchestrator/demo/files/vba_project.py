"""
Writes a VBA project with one module, as Office stores it.

The streams belong into a compound file; this module neither writes one nor judges the
source code that it is given. Source: the specification [MS-OVBA].
"""

from __future__ import annotations

import re
import struct

from orchestrator.demo.files.compound_file import Tree

MODULE_NAME = "ThisDocument"

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,254}")
_CHUNK = 4096
_SHORTEST_COPY = 3


def vba_project(macro_name: str, message: str) -> Tree:
    """
    Build the streams of a project whose only macro shows *message*.

    Raises:
        ValueError: *macro_name* is no VBA identifier.
    """
    if not _IDENTIFIER.fullmatch(macro_name):
        raise ValueError(
            f"macro_name: {macro_name!r} must be a letter and then letters, digits or _"
        )
    return {
        "PROJECT": _project_text(),
        "VBA": {
            # The version 0xFFFF makes Office compile from the source that is here.
            "_VBA_PROJECT": bytes.fromhex("cc61ffff000000"),
            "dir": compress(_directory()),
            MODULE_NAME: compress(_source(macro_name, message)),
        },
    }


def compress(data: bytes) -> bytes:
    """Compress as [MS-OVBA] 2.4.1 says: chunks of 4096 bytes, each for itself."""
    chunks = (data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK))
    return b"\x01" + b"".join(map(_chunk, chunks))


def _chunk(chunk: bytes) -> bytes:
    body = _tokens(chunk)
    if len(body) > _CHUNK:
        return struct.pack("<H", 0x3FFF) + chunk.ljust(_CHUNK, b"\0")
    return struct.pack("<H", 0xB000 | (len(body) - 1)) + body


def _tokens(chunk: bytes) -> bytes:
    """Groups of eight tokens behind a byte that says which of them are copies."""
    out, at = bytearray(), 0
    while at < len(chunk):
        flags, group = 0, bytearray()
        for bit in range(8):
            if at >= len(chunk):
                break
            offset, length = _longest_copy(chunk, at)
            if length < _SHORTEST_COPY:
                group.append(chunk[at])
                at += 1
                continue
            flags |= 1 << bit
            width = _offset_bits(at)
            group += struct.pack("<H", (offset - 1) << (16 - width) | length - 3)
            at += length
        out.append(flags)
        out += group
    return bytes(out)


def _longest_copy(chunk: bytes, at: int) -> tuple[int, int]:
    if at == 0:
        return 0, 0
    limit = min((0xFFFF >> _offset_bits(at)) + 3, len(chunk) - at)
    for length in range(limit, _SHORTEST_COPY - 1, -1):
        start = chunk.rfind(chunk[at : at + length], 0, at + length - 1)
        if start >= 0:
            return at - start, length
    return 0, 0


def _offset_bits(at: int) -> int:
    """Bits of a copy token that hold its offset; they grow with the chunk."""
    return max((at - 1).bit_length(), 4)


def _source(macro_name: str, message: str) -> bytes:
    quoted = message.replace('"', '""')
    lines = [
        f'Attribute VB_Name = "{MODULE_NAME}"',
        'Attribute VB_Base = "1Normal.ThisDocument"',
        "Attribute VB_GlobalNameSpace = False",
        "Attribute VB_Creatable = False",
        "Attribute VB_PredeclaredId = True",
        "Attribute VB_Exposed = True",
        f"Sub {macro_name}()",
        f'    MsgBox "{quoted}"',
        "End Sub",
    ]
    return _text(lines)


def _project_text() -> bytes:
    return _text(
        [
            'ID="{00000000-0000-0000-0000-000000000000}"',
            f"Document={MODULE_NAME}/&H00000000",
            'Name="Project"',
            'HelpContextID="0"',
            'VersionCompatible32="393222000"',
            'CMG="0000"',
            'DPB="0000"',
            'GC="0000"',
            "",
            "[Host Extender Info]",
            "&H00000001={3832D640-CF90-11CF-8E43-00A0C911005A};VBE;&H00000000",
            "",
            "[Workspace]",
            f"{MODULE_NAME}=0, 0, 0, 0, C",
        ]
    )


def _text(lines: list[str]) -> bytes:
    return ("\r\n".join(lines) + "\r\n").encode("cp1252", "replace")


def _directory() -> bytes:
    """The records of the dir stream, in the order that [MS-OVBA] 2.3.4.2 fixes."""
    name, wide = MODULE_NAME.encode(), MODULE_NAME.encode("utf-16-le")
    project = [
        _number(0x01, 1),  # 32-bit Windows
        _number(0x02, 0x409),
        _number(0x14, 0x409),
        struct.pack("<HIH", 0x03, 2, 1252),
        _record(0x04, b"Project"),
        _record(0x05, b"") + _record(0x40, b""),
        _record(0x06, b"") + _record(0x3D, b""),
        _number(0x07, 0),
        _number(0x08, 0),
        struct.pack("<H2IH", 0x09, 4, 1, 1),
        _record(0x0C, b"") + _record(0x3C, b""),
    ]
    module = [
        struct.pack("<HIH", 0x0F, 2, 1),  # one module follows
        struct.pack("<HIH", 0x13, 2, 0xFFFF),
        _record(0x19, name) + _record(0x47, wide),
        _record(0x1A, name) + _record(0x32, wide),
        _record(0x1C, b"") + _record(0x48, b""),
        _number(0x31, 0),  # the source starts at the start of its stream
        _number(0x1E, 0),
        struct.pack("<HIH", 0x2C, 2, 0xFFFF),
        _record(0x22, b""),  # a document module
        _record(0x2B, b""),
    ]
    return b"".join([*project, *module, _record(0x10, b"")])


def _record(identifier: int, data: bytes) -> bytes:
    return struct.pack("<HI", identifier, len(data)) + data


def _number(identifier: int, value: int) -> bytes:
    return _record(identifier, struct.pack("<I", value))
