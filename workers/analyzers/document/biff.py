"""
Reads the records of Excel's binary workbooks: encryption, and links through DDE.

Walks records by their lengths and interprets the few that matter. Sources: [MS-XLS],
FilePass, SupBook and ExternName; [MS-XLSB], BrtBeginSupBook.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_BOF = (0x0009, 0x0209, 0x0409, 0x0809)
#: The version in the first record; from it on an ExternSheet holds numbers alone.
_EXCEL_97 = b"\x00\x06"
_FILE_PASS = 0x002F
_EXTERN_SHEET = 0x0017
_SUP_BOOK = 0x01AE
_EXTERN_NAME = 0x0023
_EOF = 0x000A
_BEGIN_SUP_BOOK = 360
_DDE_LINK = 1
#: Of an external name: its link is an OLE object, so that no program is asked by DDE.
_OLE_LINK = 0x0010
#: Stands between the program and what it is asked for.
_SEPARATOR = "\x03"
#: Records that are walked. A large workbook has a few hundred thousand, its links
#: first; more would cost seconds.
_MOST_RECORDS = 200_000


def is_encrypted_workbook(data: bytes) -> bool:
    """Whether the stream of a workbook says that its records are encrypted."""
    for kind, _ in _records(data):
        if kind == _FILE_PASS:
            return True
        if kind == _EOF:
            return False
    return False


def find_xls_dde(data: bytes) -> str | None:
    """The first program that the stream of a workbook asks through DDE."""
    command = None
    before_excel_97 = data[4:6] != _EXCEL_97
    for kind, body in _records(data):
        if command is not None and kind == _EXTERN_NAME:
            if len(body) >= 2 and struct.unpack_from("<H", body)[0] & _OLE_LINK:  # noqa: PLR2004  (its flags)
                command = None
                continue
            return command
        if kind == _SUP_BOOK:
            command = _dde_of(_wide_path(body)) or command
        elif kind == _EXTERN_SHEET and before_excel_97:
            command = _dde_of(_narrow_path(body)) or command
    return command


def find_xlsb_dde(data: bytes) -> str | None:
    """The program that an external link of a binary package asks through DDE."""
    for kind, body in _packed_records(data):
        if kind == _BEGIN_SUP_BOOK and body[:2] == struct.pack("<H", _DDE_LINK):
            program, rest = _packed_string(body[2:])
            topic, _ = _packed_string(rest)
            return f"{program} {topic}"
    return None


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    if len(data) < 4 or struct.unpack_from("<H", data)[0] not in _BOF:  # noqa: PLR2004  (a record's head)
        return
    at = 0
    for _ in range(_MOST_RECORDS):
        if at + 4 > len(data):
            return
        kind, size = struct.unpack_from("<HH", data, at)
        yield kind, data[at + 4 : at + 4 + size]
        at += 4 + size


def _wide_path(body: bytes) -> str:
    """The path of a SupBook: sheets, length, width of characters, characters."""
    if len(body) < 5:  # noqa: PLR2004  (what stands before the characters)
        return ""
    size, wide = struct.unpack_from("<HB", body, 2)
    if wide & 1:
        return body[5 : 5 + 2 * size].decode("utf-16-le", "replace")
    return body[5 : 5 + size].decode("latin-1")


def _narrow_path(body: bytes) -> str:
    """The path of an ExternSheet before Excel 97: length, then characters."""
    return body[1 : 1 + body[0]].decode("latin-1") if body else ""


def _dde_of(path: str) -> str | None:
    program, separator, topic = path.partition(_SEPARATOR)
    return f"{program} {topic}" if program.isprintable() and separator else None


def _packed_records(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    for _ in range(_MOST_RECORDS):
        kind, at = _packed_number(data, at, most_bytes=2)
        size, at = _packed_number(data, at, most_bytes=4)
        if at > len(data):
            return
        yield kind, data[at : at + size]
        at += size


def _packed_number(data: bytes, at: int, *, most_bytes: int) -> tuple[int, int]:
    """A number in groups of seven bits, and where the next one begins."""
    number = 0
    for index in range(most_bytes):
        if at >= len(data):
            return number, len(data) + 1
        byte = data[at]
        at += 1
        # The type keeps the mark of its second byte; no type that we know is so large.
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:  # noqa: PLR2004  (no further group)
            break
    return number, at


def _packed_string(data: bytes) -> tuple[str, bytes]:
    if len(data) < 4:  # noqa: PLR2004  (its length)
        return "", b""
    end = 4 + 2 * struct.unpack_from("<I", data)[0]
    return data[4:end].decode("utf-16-le", "replace"), data[end:]
