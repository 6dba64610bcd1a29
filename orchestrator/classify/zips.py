"""
ZIP archives that are something else: Office documents, OpenDocument, programs.

Names come from the directory at the end, and from the members' own heads where it is
not seen whole. The only content that is read is of two small parts that say what the rest
is, inflated up to a limit.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice

from orchestrator.classify.ends import Ends
from orchestrator.classify.kinds import kind, program
from orchestrator.classify.texts import decoded
from orchestrator.contracts.assignment import Classification

#: Content types of a large workbook fit; a bomb does not.
_PART_BYTES = 256 * 1024
#: What ends a directory, without its comment.
_END_BYTES = 22

_CONTENT_TYPES = "[content_types].xml"
_RELATIONSHIPS = "_rels/.rels"
_DEFLATED = 8

#: Method, size, lengths of name, extra and comment, offset: a member in the directory.
_LISTED = struct.Struct("<10xH8xI4xHHH8xI")
#: Method, size, lengths of name and extra: a member's own head.
_LOCAL = struct.Struct("<8xH8xI4xHH")

_WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml."
_EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml."
_POWERPOINT = "application/vnd.openxmlformats-officedocument.presentationml."
_OPEN_DOCUMENT = "application/vnd.oasis.opendocument."

#: Content types of main parts, without ``.main+xml``, where files of the kind do not
#: have the same MIME type; macro-enabled ones end in ``.12`` as files.
_OTHER_MIMES: Mapping[str, str] = {
    "application/vnd.ms-word.template.macroenabledtemplate": (
        "application/vnd.ms-word.template.macroEnabled.12"
    ),
    "application/vnd.ms-excel.sheet.binary.macroenabled": (
        "application/vnd.ms-excel.sheet.binary.macroEnabled.12"
    ),
}
_MAIN_PART = re.compile(
    r"(?i)[\"'](application/vnd\.(?:openxmlformats-officedocument|ms-word|ms-excel"
    r"|ms-powerpoint|ms-visio)\.[a-z.]{1,60})\.main(?:\+xml)?[\"']"
)
_XPS_PART = "application/vnd.ms-package.xps-fixeddocument"
_OPEN_XPS = "schemas.openxps.org/oxps/"

#: (name of a part or its folder, MIME type), where no content types can be read.
_OOXML_NAMES: tuple[tuple[str, str], ...] = (
    ("xl/workbook.bin", "application/vnd.ms-excel.sheet.binary.macroEnabled.12"),
    ("word/vbaproject.bin", "application/vnd.ms-word.document.macroEnabled.12"),
    ("xl/vbaproject.bin", "application/vnd.ms-excel.sheet.macroEnabled.12"),
    (
        "ppt/vbaproject.bin",
        "application/vnd.ms-powerpoint.presentation.macroEnabled.12",
    ),
    ("visio/vbaproject.bin", "application/vnd.ms-visio.drawing.macroEnabled.12"),
    ("word/", _WORD + "document"),
    ("xl/", _EXCEL + "sheet"),
    ("ppt/", _POWERPOINT + "presentation"),
    ("visio/", "application/vnd.ms-visio.drawing"),
    ("fixeddocseq.fdseq", "application/vnd.ms-xpsdocument"),
    ("fixeddocumentsequence.fdseq", "application/vnd.ms-xpsdocument"),
)
#: Packages with content types that are no documents: (end of a name, type, MIME type).
_PACKAGES: tuple[tuple[str, str, str], ...] = (
    (".nuspec", "nupkg", "application/zip"),
    ("extension.vsixmanifest", "vsix", "application/vsix"),
    ("appxmanifest.xml", "appx", "application/vnd.ms-appx"),
    ("appxbundlemanifest.xml", "appx", "application/vnd.ms-appx"),
    ("3d/3dmodel.model", "3mf", "model/3mf"),
)
#: Other archives by a name in them: (pattern of the whole name, type, platform, MIME).
_PROGRAMS: tuple[tuple[re.Pattern[str], str, str, str], ...] = (
    (
        re.compile(r"androidmanifest\.xml|classes\.dex"),
        "apk",
        "android",
        "application/vnd.android.package-archive",
    ),
    (
        re.compile(r"payload/[^/]+\.app/.*"),
        "ipa",
        "ios",
        "application/x-ios-app",
    ),
    (
        re.compile(r"meta-inf/manifest\.mf"),
        "jar",
        "java",
        "application/java-archive",
    ),
)


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    method: int
    size_bytes: int
    #: Where its own head stands in the file.
    offset: int


@dataclass(frozen=True, slots=True)
class _Archive:
    ends: Ends
    members: Mapping[str, _Member] = field(default_factory=dict)

    def part(self, name: str) -> bytes:
        """Return the content of a small member; none if it is not seen whole."""
        member = self.members.get(name)
        if member is None:
            return b""
        local = self.ends.at(member.offset, _LOCAL.size)
        if len(local) < _LOCAL.size or local[:4] != b"PK\3\4":
            return b""
        _, _, name_length, extra_length = _LOCAL.unpack(local)
        begin = member.offset + _LOCAL.size + name_length + extra_length
        # A head that leaves the size to what follows the content says zero.
        data = self.ends.at(begin, member.size_bytes or _PART_BYTES)
        return _inflated(data) if member.method == _DEFLATED else data[:_PART_BYTES]


def find_archive_of_parts(ends: Ends) -> Classification | None:
    """Return what a ZIP archive is by the names of its members."""
    if ends.head[:4] not in {b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"}:
        return None
    archive = _Archive(ends, _members(ends))
    return (
        _by_content_types(archive)
        or _by_mime_type(archive)
        or _by_names(archive)
        or kind("zip", "archive", "application/zip")
    )


def office_mime_type(content_types: str) -> str | None:
    """Return the MIME type of the document whose main part is named in this text."""
    found = _MAIN_PART.search(content_types)
    if found is None:
        return None
    name = found.group(1)
    if name.lower() in _OTHER_MIMES:
        return _OTHER_MIMES[name.lower()]
    if name.lower().endswith(".macroenabled"):
        return f"{name[: -len('macroenabled')]}macroEnabled.12"
    return name


def _by_content_types(archive: _Archive) -> Classification | None:
    if _CONTENT_TYPES not in archive.members:
        return None
    types = decoded(archive.part(_CONTENT_TYPES)) or ""
    mime = office_mime_type(types)
    if mime is None and _XPS_PART in types.lower():
        mime = "application/vnd.ms-xpsdocument"
    if mime is None:
        mime = _office_by_names(archive)
    if mime == "application/vnd.ms-xpsdocument":
        relationships = decoded(archive.part(_RELATIONSHIPS)) or ""
        mime = "application/oxps" if _OPEN_XPS in relationships else mime
    if mime is not None:
        return kind("ooxml", "document", mime)
    return _package(archive)


def _office_by_names(archive: _Archive) -> str | None:
    for beginning, mime in _OOXML_NAMES:
        if any(name.startswith(beginning) for name in archive.members):
            return mime
    return None


def _package(archive: _Archive) -> Classification | None:
    for end, name, mime in _PACKAGES:
        if any(member.endswith(end) for member in archive.members):
            return kind(name, "archive", mime)
    return None


def _by_mime_type(archive: _Archive) -> Classification | None:
    mime = archive.part("mimetype")[:128].decode("ascii", "replace").strip()
    if mime.startswith(_OPEN_DOCUMENT):
        return kind("odf", "document", _printable(mime))
    if mime == "application/epub+zip":
        return kind("epub", "document", mime)
    if "meta-inf/manifest.xml" in archive.members and "content.xml" in archive.members:
        return kind("odf", "document", _OPEN_DOCUMENT + "text")
    return None


def _printable(mime: str) -> str:
    return re.sub(r"[^a-z.+/-].*", "", mime)


def _by_names(archive: _Archive) -> Classification | None:
    for pattern, name, platform, mime in _PROGRAMS:
        if any(pattern.fullmatch(member) for member in archive.members):
            return program(name, platform, None, mime)
    return None


def _members(ends: Ends) -> dict[str, _Member]:
    """Members by their names in small letters, as Office compares them."""
    listed, is_whole = _listed(ends.tail)
    # The first member counts though the directory leaves it out: programs differ.
    heads = islice(_local(ends.head), 1 if is_whole else None)
    found: dict[str, _Member] = {}
    for member in chain(listed, heads):
        found.setdefault(member.name, member)
    return found


def _listed(tail: bytes) -> tuple[list[_Member], bool]:
    """Read the directory that ends here, or its rest; say whether it is whole."""
    end = tail.rfind(b"PK\5\6")
    if end < 0 or len(tail) < end + _END_BYTES:
        return [], False
    size = struct.unpack_from("<I", tail, end + 12)[0]
    begin = end - size if end >= size else tail.find(b"PK\1\2")
    members: list[_Member] = []
    position = begin
    while tail[position : position + 4] == b"PK\1\2" and position + _LISTED.size <= end:
        method, packed, name, extra, comment, offset = _LISTED.unpack_from(
            tail, position
        )
        position += _LISTED.size
        text = _name(tail[position : position + name])
        members.append(_Member(text, method, packed, offset))
        position += name + extra + comment
    return members, bool(members) and position == end and end >= size


def _local(head: bytes) -> Iterator[_Member]:
    """Read the members' own heads, as far as the first bytes go."""
    position = head.find(b"PK\3\4")
    while position >= 0:
        if len(head) < position + _LOCAL.size:
            return
        method, packed, length, _ = _LOCAL.unpack_from(head, position)
        name = head[position + _LOCAL.size : position + _LOCAL.size + length]
        yield _Member(_name(name), method, packed, position)
        position = head.find(b"PK\3\4", position + _LOCAL.size + length)


def _name(raw: bytes) -> str:
    return raw.decode("latin-1").lower().replace("\\", "/").lstrip("/")


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, _PART_BYTES)
    except zlib.error:
        return b""
