"""
Looks into OLE compound files: legacy Office documents and embedded ones.

Macros are left to ``macros``, presentations to ``ppt``, records of workbooks to
``biff``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import islice

import olefile  # type: ignore[import-untyped]  # it has no stubs
from oletools.oleobj import OleNativeStream

from workers.analyzers.document.biff import find_xls_dde
from workers.analyzers.document.budget import MOST_DEPTH, PART_BYTES
from workers.analyzers.document.encryption import decrypt, find_encryption
from workers.analyzers.document.facts import PARSER_ERRORS, Document
from workers.analyzers.document.macros import read_macros
from workers.analyzers.document.ppt import read_storages
from workers.analyzers.document.properties import note_ole
from workers.findings import clean

OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

_MOST_STREAMS = 2000
_EQUATION_CLASS = "0002CE02-0000-0000-C000-000000000046"
#: A field begins with 0x13; Word stores text as bytes or as UTF-16.
_DDE_FIELD = re.compile(
    rb"\x13\x00?[ \x00\"]{0,8}"
    rb"(D\x00?D\x00?E\x00?(?:A\x00?U\x00?T\x00?O\x00?)?[ \"\x00][^\x13-\x15]{0,512})",
    re.IGNORECASE,
)
_NATIVE = "\x01ole10native"


def read_ole(data: bytes, part: str, document: Document) -> bytes | None:
    """
    Note what is remarkable in the compound file *data*, found at *part*.

    Returns:
        The Office package that was encrypted in it, if Office's own password opens it.
    """
    budget = document.budget
    if budget.depth >= MOST_DEPTH or not budget.spend(len(data)):
        document.stop_reading(part)
        return None
    try:
        ole = olefile.OleFileIO(data)
    except PARSER_ERRORS:
        document.findings.add("part_unreadable", where=part)
        return None
    budget.depth += 1
    try:
        with ole:
            clear = _read_all(ole, data, part, document)
    finally:
        budget.depth -= 1
    if clear is None or not clear.startswith(OLE_MAGIC):
        return clear
    budget.depth += 1
    try:
        return read_ole(clear, part, document)
    finally:
        budget.depth -= 1


def _read_all(
    ole: olefile.OleFileIO, data: bytes, part: str, document: Document
) -> bytes | None:
    clear = None
    try:
        clear = _read_encryption(ole, data, part, document)
        if not part:
            note_ole(ole, document)
        _read_streams(ole, part, document)
        _read_storages(ole, part, document)
    except PARSER_ERRORS:
        document.findings.add("part_unreadable", where=part)
    if document.budget.is_spent or "bomb" in document.findings:
        # The library inflates without a limit of its own.
        document.stop_reading(part)
    else:
        read_macros(data, part, document)
    return clear


def _read_encryption(
    ole: olefile.OleFileIO, data: bytes, part: str, document: Document
) -> bytes | None:
    stream = find_encryption(ole)
    if stream is None:
        return None
    document.encrypted = True
    document.findings.add("encrypted", where=_place(part, [stream]))
    if stream == "WordDocument":
        # Word tries no password by itself.
        return None
    clear = decrypt(ole, data, document)
    if clear is None or _is_still_encrypted(clear):
        return None
    document.findings.add("encrypted_default", where=_place(part, [stream]))
    return clear


def _is_still_encrypted(clear: bytes) -> bool:
    """A library that takes any password must not send us in a circle."""
    if not clear.startswith(OLE_MAGIC):
        return not clear.startswith(b"PK")
    with olefile.OleFileIO(clear) as ole:
        return find_encryption(ole) is not None


def _place(part: str, path: list[str]) -> str:
    inside = "/".join(path)
    return clean(f"{part}:{inside}" if part else inside)


def _read_streams(ole: olefile.OleFileIO, part: str, document: Document) -> None:
    if str(ole.root.clsid).upper() == _EQUATION_CLASS:
        document.findings.add("equation_editor", where=part)
    for path in islice(ole.listdir(), _MOST_STREAMS):
        if not document.budget.has_time():
            document.stop_reading(part)
            return
        _read_stream(ole, path, _place(part, path), document)


def _read_stream(
    ole: olefile.OleFileIO, path: list[str], where: str, document: Document
) -> None:
    name = path[-1]
    if name.lower() == _NATIVE:
        _read_native(ole, path, where, document)
    elif name == "Equation Native":
        document.findings.add("equation_editor", name=name, where=where)
    elif name == "PowerPoint Document":
        for number, storage in read_storages(_bytes(ole, path), document):
            # Macros are stored alike, and read with the whole presentation.
            if "_vba_project" not in _stream_names(storage):
                read_stored_object(storage, f"{where}:{number}", document)
    elif name in _DDE_READERS and (command := _DDE_READERS[name](_bytes(ole, path))):
        document.add_dde(command, where=where)


def _find_doc_dde(data: bytes) -> str | None:
    field = _DDE_FIELD.search(data)
    return field[1].replace(b"\0", b"").decode("latin-1") if field else None


#: Streams whose content may ask other programs.
_DDE_READERS: Mapping[str, Callable[[bytes], str | None]] = {
    "WordDocument": _find_doc_dde,
    "Workbook": find_xls_dde,
    "Book": find_xls_dde,
}


def _bytes(ole: olefile.OleFileIO, path: list[str]) -> bytes:
    data: bytes = ole.openstream(path).read(PART_BYTES)
    return data


def read_stored_object(data: bytes, where: str, document: Document) -> bytes | None:
    """
    Note an object that is stored as a file of its own, and look into it.

    Returns:
        As :func:`read_ole`.
    """
    names = _stream_names(data)
    if _NATIVE not in names:
        document.add_object(
            kind="embedded_object", name="", file_name="", size=len(data), where=where
        )
    return read_ole(data, where, document) if names else None


def _stream_names(data: bytes) -> set[str]:
    if not data.startswith(OLE_MAGIC):
        return set()
    try:
        with olefile.OleFileIO(data) as ole:
            return {path[-1].lower() for path in ole.listdir()}
    except PARSER_ERRORS:
        return set()


def _read_storages(ole: olefile.OleFileIO, part: str, document: Document) -> None:
    """Objects of text documents and workbooks that are no packed files."""
    for path in islice(ole.listdir(streams=False, storages=True), _MOST_STREAMS):
        of_text = len(path) == 2 and path[0] == "ObjectPool"  # noqa: PLR2004  (a child)
        of_workbook = len(path) == 1 and path[0].startswith("MBD")
        if (of_text or of_workbook) and not ole.exists([*path, "\x01Ole10Native"]):
            document.add_object(
                kind="embedded_object",
                name="",
                file_name="",
                size=0,
                where=_place(part, path),
            )


def _read_native(
    ole: olefile.OleFileIO, path: list[str], where: str, document: Document
) -> None:
    size = ole.get_size(path)
    file_name = ""
    try:
        native = OleNativeStream(_bytes(ole, path))
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
