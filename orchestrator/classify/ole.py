"""
OLE compound files by their directory: Word, Excel, PowerPoint, mail, installers.

The directory is read where it is seen, 128 bytes an entry; chains of sectors are not
followed. What stands first in it belongs to the file itself, later names to what is
embedded.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping

from orchestrator.classify.ends import Ends
from orchestrator.classify.kinds import kind
from orchestrator.contracts.assignment import Classification

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENTRY_BYTES = 128

_OLE = ("ole", "document", "application/x-ole-storage")
_WORD = ("ole", "document", "application/msword")
_EXCEL = ("ole", "document", "application/vnd.ms-excel")
_POWERPOINT = ("ole", "document", "application/vnd.ms-powerpoint")
_VISIO = ("ole", "document", "application/vnd.visio")
_PUBLISHER = ("ole", "document", "application/vnd.ms-publisher")
_PROJECT = ("ole", "document", "application/vnd.ms-project")
_HANGUL = ("ole", "document", "application/x-hwp")
_WORKS = ("ole", "document", "application/vnd.ms-works")
_ENCRYPTED = ("ole", "document", "application/x-ooxml-protected")
_MESSAGE = ("msg", "document", "application/vnd.ms-outlook")
_INSTALLER = ("msi", "executable", "application/x-msi")

#: The class of the root, where the program wrote one.
_CLASSES: Mapping[str, tuple[str, str, str]] = {
    "00020906-0000-0000-c000-000000000046": _WORD,
    "00020900-0000-0000-c000-000000000046": _WORD,
    "00020907-0000-0000-c000-000000000046": _WORD,
    "00020810-0000-0000-c000-000000000046": _EXCEL,
    "00020820-0000-0000-c000-000000000046": _EXCEL,
    "00020821-0000-0000-c000-000000000046": _EXCEL,
    "64818d10-4f9b-11cf-86ea-00aa00b929e8": _POWERPOINT,
    "64818d11-4f9b-11cf-86ea-00aa00b929e8": _POWERPOINT,
    "00021a13-0000-0000-c000-000000000046": _VISIO,
    "00021a14-0000-0000-c000-000000000046": _VISIO,
    "00021201-0000-0000-00c0-000000000046": _PUBLISHER,
    "74b78f3a-c8c8-11d1-be11-00c04fb6faf1": _PROJECT,
    "00020d0b-0000-0000-c000-000000000046": _MESSAGE,
    "000c1082-0000-0000-c000-000000000046": _INSTALLER,
    "000c1084-0000-0000-c000-000000000046": _INSTALLER,
    "000c1086-0000-0000-c000-000000000046": _INSTALLER,
}
#: Streams and storages that one kind alone has.
_NAMES: Mapping[str, tuple[str, str, str]] = {
    "WordDocument": _WORD,
    "Workbook": _EXCEL,
    "Book": _EXCEL,
    "PowerPoint Document": _POWERPOINT,
    "PP40": _POWERPOINT,
    "VisioDocument": _VISIO,
    "Quill": _PUBLISHER,
    "HwpSummaryInformation": _HANGUL,
    "\x05HwpSummaryInformation": _HANGUL,
    "MatOST": _WORKS,
    "EncryptedPackage": _ENCRYPTED,
    "__properties_version1.0": _MESSAGE,
}
_ENTRIES: Mapping[bytes, tuple[str, str, str]] = {
    name.encode("utf-16-le").ljust(64, b"\0"): found for name, found in _NAMES.items()
}


def find_compound_file(ends: Ends) -> Classification | None:
    """Return what an OLE file is by the class of its root, else by its first stream."""
    if not ends.head.startswith(MAGIC):
        return None
    return kind(*(_by_class(ends) or _by_names(ends) or _OLE))


def _by_class(ends: Ends) -> tuple[str, str, str] | None:
    if len(ends.head) < 0x34:
        return None
    shift = struct.unpack_from("<H", ends.head, 0x1E)[0]
    sector = struct.unpack_from("<I", ends.head, 0x30)[0]
    if shift not in {9, 12}:
        return None
    root = ends.at((sector + 1) << shift, _ENTRY_BYTES)
    if len(root) < _ENTRY_BYTES:
        return None
    return _CLASSES.get(str(uuid.UUID(bytes_le=root[80:96])))


def _by_names(ends: Ends) -> tuple[str, str, str] | None:
    """Return what the first entry in the file names that one kind alone has."""
    for start, data in ends.parts():
        places = [
            (place, found)
            for name, found in _ENTRIES.items()
            if (place := _entry(data, name, start)) >= 0
        ]
        if places:
            return min(places)[1]
    return None


def _entry(data: bytes, name: bytes, start: int) -> int:
    place = data.find(name)
    return place if (start + place) % _ENTRY_BYTES == 0 else -1
