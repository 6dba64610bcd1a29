"""
Looks into OLE compound files: legacy Office documents and embedded ones.

Macros are left to ``macros``.
"""

from __future__ import annotations

import re
from itertools import islice

import olefile  # type: ignore[import-untyped]  # it has no stubs
from oletools.oleobj import OleNativeStream

from workers.analyzers.document.facts import PARSER_ERRORS, PART_BYTES, Document
from workers.analyzers.document.macros import read_macros
from workers.findings import clean

_MOST_STREAMS = 2000
_EQUATION_CLASS = "0002CE02-0000-0000-C000-000000000046"
#: A field begins with 0x13; Word stores text as bytes or as UTF-16.
_DDE_FIELD = re.compile(
    rb"\x13\x00?[ \x00\"]{0,8}D\x00?D\x00?E\x00?(?:A\x00?U\x00?T\x00?O\x00?)?[ \"\x00]",
    re.IGNORECASE,
)


def read_ole(data: bytes, part: str, document: Document) -> None:
    """Note what is remarkable in the compound file *data*, found at *part*."""
    try:
        ole = olefile.OleFileIO(data)
    except PARSER_ERRORS:
        document.findings.add("part_unreadable", where=part)
        return
    with ole:
        try:
            _read_streams(ole, part, document)
        except PARSER_ERRORS:
            document.findings.add("part_unreadable", where=part)
    read_macros(data, part, document)


def _read_streams(ole: olefile.OleFileIO, part: str, document: Document) -> None:
    if str(ole.root.clsid).upper() == _EQUATION_CLASS:
        document.findings.add("equation_editor", where=part)
    for path in islice(ole.listdir(), _MOST_STREAMS):
        name = path[-1]
        where = clean(f"{part}:{'/'.join(path)}" if part else "/".join(path))
        if name in {"EncryptedPackage", "EncryptionInfo"}:
            document.encrypted = True
            document.findings.add("encrypted", where=where)
        elif name.lower() == "\x01ole10native":
            _read_native(ole, path, where, document)
        elif name == "Equation Native":
            document.findings.add("equation_editor", name=name, where=where)
        elif name == "WordDocument":
            _read_text(ole, path, where, document)


def _read_native(
    ole: olefile.OleFileIO, path: list[str], where: str, document: Document
) -> None:
    size = ole.get_size(path)
    file_name = ""
    try:
        native = OleNativeStream(ole.openstream(path).read(PART_BYTES))
        file_name, size = str(native.filename or ""), int(native.actual_size or 0)
    except PARSER_ERRORS:
        document.findings.add("part_unreadable", where=where)
    document.add_object(
        kind="embedded_object",
        name="Package",
        file_name=file_name,
        size=size,
        where=where,
    )


def _read_text(
    ole: olefile.OleFileIO, path: list[str], where: str, document: Document
) -> None:
    if _DDE_FIELD.search(ole.openstream(path).read(PART_BYTES)):
        document.findings.add("dde", where=where)
