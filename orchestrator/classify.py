"""
What kind of file a sample is, from its content alone.

Memory-safe Python over the first and last bytes: no parser of a format runs here, since
this process has secrets. Names and extensions are the submitter's and are not read.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping

from orchestrator.contracts.assignment import Classification

#: Bump it with every change of what :func:`classify` answers.
CLASSIFIER_VERSION = "1"

#: (offset, magic, type, super type, MIME type); the first that fits wins.
_MAGICS: tuple[tuple[int, bytes, str, str, str], ...] = (
    (0, b"%PDF-", "pdf", "document", "application/pdf"),
    (0, b"{\\rtf", "rtf", "document", "application/rtf"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole", "document", "application/x-ole-storage"),
    (0, b"\x89PNG\r\n\x1a\n", "png", "image", "image/png"),
    (0, b"\xff\xd8\xff", "jpeg", "image", "image/jpeg"),
    (0, b"GIF87a", "gif", "image", "image/gif"),
    (0, b"GIF89a", "gif", "image", "image/gif"),
    (8, b"WEBP", "webp", "image", "image/webp"),
    (0, b"\x1f\x8b", "gzip", "archive", "application/gzip"),
    (0, b"\xfd7zXZ\x00", "xz", "archive", "application/x-xz"),
    (0, b"BZh", "bzip2", "archive", "application/x-bzip2"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z", "archive", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "rar", "archive", "application/vnd.rar"),
    (0, b"MSCF", "cab", "archive", "application/vnd.ms-cab-compressed"),
    (0, b"\x28\xb5\x2f\xfd", "zstd", "archive", "application/zstd"),
    (257, b"ustar", "tar", "archive", "application/x-tar"),
    (0, b"L\x00\x00\x00\x01\x14\x02\x00", "lnk", "document", "application/x-ms-shortcut"),
)  # fmt: skip

_PE_ARCHES = {
    0x14C: "x86",
    0x8664: "x86_64",
    0xAA64: "arm64",
    0x1C0: "arm",
    0x1C4: "arm",
}
_ELF_ARCHES = {3: "x86", 62: "x86_64", 40: "arm", 183: "arm64", 8: "mips", 243: "riscv"}
_MACHO_ARCHES = {7: "x86", 0x01000007: "x86_64", 12: "arm", 0x0100000C: "arm64"}
_MACHO_MAGICS: Mapping[bytes, str] = {
    b"\xce\xfa\xed\xfe": "<",
    b"\xcf\xfa\xed\xfe": "<",
    b"\xfe\xed\xfa\xce": ">",
    b"\xfe\xed\xfa\xcf": ">",
}

#: Where a directory of Office Open XML keeps its main part.
_OOXML = {
    b"word/": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    b"xl/": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    b"ppt/": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}

# Indentation, never line ends: else thousands of empty lines are tried from each.
_SCRIPTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\A#!.*\b(?:ba|da|z|k)?sh\b"), "text/x-shellscript"),
    (re.compile(r"\A#!.*\bpython"), "text/x-python"),
    (re.compile(r"\A#!"), "text/x-script"),
    (
        re.compile(
            r"(?im)^[^\S\n]*"
            r"(?:param\s*\(|function\s+\w+-\w+|\$\w+\s*=\s*new-object\b)"
            r"|\b(?:invoke-expression|iex|new-object\s+(?:system\.)?net\.webclient"
            r"|write-host|get-childitem)\b"
        ),
        "text/x-powershell",
    ),
    (
        re.compile(
            r"(?im)^[^\S\n]*"
            r"(?:dim\s+\w+|sub\s+\w+\s*\(|set\s+\w+\s*=\s*createobject)"
            r"|\bwscript\.createobject\b"
        ),
        "text/vbscript",
    ),
    (
        re.compile(
            r"(?m)^[^\S\n]*"
            r"(?:(?:var|let|const)\s+\w+\s*=|function\s+\w+\s*\(|\"use strict\")"
            r"|new ActiveXObject\("
        ),
        "text/javascript",
    ),
    (re.compile(r"(?im)\A\s*@echo off\b"), "text/x-msdos-batch"),
)
_HTML = re.compile(r"(?i)<(?:!doctype html|html|head|body|script)\b")
_XML = re.compile(r"\A\s*<\?xml\b")

#: Share of control characters above which bytes are not text.
_CONTROL_SHARE = 0.02


def classify(head: bytes, tail: bytes, size: int) -> Classification:
    """
    Say what kind of file this is.

    Args:
        head: Its first bytes, some 8 KiB; all of them if it is smaller.
        tail: Its last bytes, some 64 KiB.
        size: Bytes in all.

    Returns:
        Type ``unknown`` where nothing fits; ``empty`` for no bytes at all.
    """
    if size == 0:
        return Classification(type="empty", mime_type="application/x-empty")
    return (
        _executable(head)
        or _archive_of_parts(head, tail)
        or _by_magic(head)
        or _textual(head)
        or Classification()
    )


def _executable(head: bytes) -> Classification | None:
    if head[:2] == b"MZ":
        return _dos_or_pe(head)
    if head[:4] == b"\x7fELF" and len(head) >= 20:
        order = ">" if head[5] == 2 else "<"
        machine = struct.unpack_from(f"{order}H", head, 18)[0]
        return _program("elf", "linux", _ELF_ARCHES.get(machine), "application/x-elf")
    if head[:4] in _MACHO_MAGICS and len(head) >= 8:
        cpu = struct.unpack_from(f"{_MACHO_MAGICS[head[:4]]}I", head, 4)[0]
        arch = _MACHO_ARCHES.get(cpu)
        return _program("macho", "macos", arch, "application/x-mach-binary")
    # A universal binary counts few architectures; a Java class has a version there.
    if head[:4] == b"\xca\xfe\xba\xbe" and len(head) >= 8 and head[4:7] == b"\0\0\0":
        return _program("macho", "macos", None, "application/x-mach-binary")
    return None


def _dos_or_pe(head: bytes) -> Classification:
    if len(head) >= 0x40:
        offset = struct.unpack_from("<I", head, 0x3C)[0]
        if head[offset : offset + 4] == b"PE\0\0" and len(head) >= offset + 6:
            machine = struct.unpack_from("<H", head, offset + 4)[0]
            return _program(
                "pe",
                "windows",
                _PE_ARCHES.get(machine),
                "application/vnd.microsoft.portable-executable",
            )
    return _program("dos", "dos", "x86", "application/x-dosexec")


def _program(kind: str, platform: str, arch: str | None, mime: str) -> Classification:
    return Classification(
        type=kind,
        super_type="executable",
        platform=platform,
        arch=arch or "unknown",
        mime_type=mime,
    )


def _archive_of_parts(head: bytes, tail: bytes) -> Classification | None:
    if head[:4] not in {b"PK\x03\x04", b"PK\x05\x06"}:
        return None
    names = head + tail
    if b"[Content_Types].xml" in names:
        for folder, mime in _OOXML.items():
            if folder in names:
                return _kind("ooxml", "document", mime)
    if b"mimetypeapplication/vnd.oasis.opendocument" in head:
        return _kind("odf", "document", "application/vnd.oasis.opendocument")
    if b"AndroidManifest.xml" in names:
        return _program(
            "apk", "android", None, "application/vnd.android.package-archive"
        )
    if b"META-INF/MANIFEST.MF" in names:
        return _program("jar", "java", None, "application/java-archive")
    return _kind("zip", "archive", "application/zip")


def _by_magic(head: bytes) -> Classification | None:
    for offset, magic, kind, super_type, mime in _MAGICS:
        if head[offset : offset + len(magic)] == magic:
            return _kind(kind, super_type, mime)
    return None


def _textual(head: bytes) -> Classification | None:
    text = _decoded(head)
    if text is None:
        return None
    if _HTML.match(_after_comments(text)):
        return _kind("html", "document", "text/html")
    if _XML.search(text):
        return _kind("xml", "document", "text/xml")
    for pattern, mime in _SCRIPTS:
        if pattern.search(text):
            return _kind("script", "script", mime)
    return _kind("text", "text", "text/plain")


def _after_comments(text: str) -> str:
    # Not by a pattern: a row of comments can be divided in endless many ways.
    text = text.lstrip()
    while text.startswith("<!--"):
        _, end, rest = text.partition("-->")
        if not end:
            break
        text = rest.lstrip()
    return text


def _decoded(head: bytes) -> str | None:
    encoding = "utf-16" if head[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    # The head may end within a character.
    for cut in range(4):
        try:
            text = head[: len(head) - cut].decode(encoding)
        except UnicodeDecodeError:
            continue
        control = sum(
            1 for char in text if ord(char) < 32 and char not in "\t\n\r\f\x1b"
        )
        return text if control <= len(text) * _CONTROL_SHARE else None
    return None


def _kind(kind: str, super_type: str, mime: str) -> Classification:
    return Classification(type=kind, super_type=super_type, mime_type=mime)
