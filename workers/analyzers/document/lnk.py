"""
Reads Windows shortcuts: what they start, with which arguments, and what they hide.

Walks the structures by their lengths, as [MS-SHLLINK] has them. It follows nothing.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from workers.analyzers.document.facts import Document
from workers.findings import clean

LNK_MAGIC = b"L\x00\x00\x00\x01\x14\x02\x00"

_HEADER_BYTES = 0x4C
_HAS_ID_LIST, _HAS_LINK_INFO, _UNICODE = 0x01, 0x02, 0x80
#: Flags of the strings, in the order in which these stand.
_STRINGS = (
    (0x04, "name"),
    (0x08, "relative path"),
    (0x10, "working folder"),
    (0x20, "arguments"),
    (0x40, "icon"),
)
_ENVIRONMENT_BLOCK = 0xA0000001
_NETWORK_LINK = 0x02
#: Programs that run what they are given as arguments.
_INTERPRETERS = re.compile(
    r"\b(?:cmd|powershell|pwsh|wscript|cscript|mshta|rundll32|regsvr32|msiexec|certutil"
    r"|bitsadmin|forfiles|conhost|wmic|bash|python\w*|hh|installutil|msbuild)(?:\.exe)?\b",
    re.IGNORECASE,
)
#: The shell's dialogue shows 260 characters; a run of blanks pushes the rest out.
_PADDING = re.compile(r"[\s\x00]{64}")
_MOST_CHARACTERS = 260
_LONGEST_ARGUMENTS = 4096


def read_lnk(data: bytes, document: Document) -> None:
    """Note what the shortcut *data* starts."""
    if len(data) < _HEADER_BYTES:
        document.findings.add("part_unreadable", detail="the header is cut off")
        return
    flags = struct.unpack_from("<I", data, 0x14)[0]
    at, targets = _targets(data, flags)
    texts = dict(_strings(data, at, flags))
    targets += [texts.get("relative path", ""), _environment_target(data)]
    target = max(filter(None, targets), key=len, default="")
    arguments = texts.get("arguments", "")
    document.findings.add("shortcut", name=_shown(target), detail=_shown(arguments))
    _judge([*targets, texts.get("working folder", "")], arguments, document)
    shown = {"type": "shortcut", "target": clean(_shown(target)), "part": ""}
    document.keep("relationships", {**shown, "part": clean(_shown(arguments))})


def _judge(targets: list[str], arguments: str, document: Document) -> None:
    for text in [*targets, arguments]:
        if _PADDING.search(text) or len(text) > _LONGEST_ARGUMENTS:
            detail = f"{len(text)} characters"
            document.findings.add("shortcut_padding", detail=detail)
        if text.startswith("\\\\") or "://" in text[:16]:
            document.findings.add("shortcut_remote", name=_shown(text))
    if not arguments.strip("\0 "):
        return
    for target in targets:
        if name := _INTERPRETERS.search(target.rsplit("\\", 1)[-1]):
            document.findings.add("shortcut_interpreter", name=name[0].lower())


def _targets(data: bytes, flags: int) -> tuple[int, list[str]]:
    """Where the strings begin, and the targets that stand before them."""
    at, targets = _HEADER_BYTES, []
    if flags & _HAS_ID_LIST and at + 2 <= len(data):
        size = struct.unpack_from("<H", data, at)[0]
        targets += list(_paths(data[at + 2 : at + 2 + size]))
        at += 2 + size
    if flags & _HAS_LINK_INFO and at + 4 <= len(data):
        size = struct.unpack_from("<I", data, at)[0]
        targets += list(_link_info_paths(data[at : at + size]))
        at += max(size, 4)
    return at, targets


def _paths(items: bytes) -> Iterator[str]:
    """The longest text of the last item: it names the file within its folder."""
    last, at = b"", 0
    while at + 2 <= len(items):
        size = struct.unpack_from("<H", items, at)[0]
        if size < 2:  # noqa: PLR2004  (the end of the list)
            break
        last, at = items[at : at + size], at + size
    narrow = [run.decode("latin-1") for run in re.findall(rb"[\x20-\x7e]{4,}", last)]
    wide = [
        run.decode("utf-16-le") for run in re.findall(rb"(?:[\x20-\x7e]\x00){4,}", last)
    ]
    if texts := narrow + wide:
        yield max(texts, key=len)


def _link_info_paths(info: bytes) -> Iterator[str]:
    if len(info) < 0x1C:  # noqa: PLR2004  (its header)
        return
    flags, _, base, network, suffix = struct.unpack_from("<5I", info, 8)
    if flags & 1 and 0 < base < len(info):
        yield _text_at(info, base) + _text_at(info, suffix)
    if flags & _NETWORK_LINK and 0 < network < len(info) - 0x14:
        name = struct.unpack_from("<I", info, network + 8)[0]
        yield f"{_text_at(info, network + name)}\\{_text_at(info, suffix)}"


def _text_at(data: bytes, at: int) -> str:
    return data[at : at + 1024].partition(b"\0")[0].decode("latin-1")


def _strings(data: bytes, at: int, flags: int) -> Iterator[tuple[str, str]]:
    width = 2 if flags & _UNICODE else 1
    for flag, name in _STRINGS:
        if not flags & flag or at + 2 > len(data):
            continue
        count = struct.unpack_from("<H", data, at)[0]
        if name != "arguments":
            # Windows stores no more of the others, whatever their count says.
            count = min(count, _MOST_CHARACTERS)
        size = width * count
        text = data[at + 2 : at + 2 + size]
        yield name, text.decode("utf-16-le" if width == 2 else "latin-1", "replace")  # noqa: PLR2004
        at += 2 + size


def _environment_target(data: bytes) -> str:
    """The target of the block that overrules the others, where there is one."""
    at = data.find(struct.pack("<II", 0x314, _ENVIRONMENT_BLOCK))
    if at < 0:
        return ""
    wide = data[at + 8 + 260 : at + 8 + 260 + 520]
    return wide.decode("utf-16-le", "replace").partition("\0")[0]


def _shown(text: str) -> str:
    """With runs of blanks cut short: what they push out of sight is what matters."""
    return " ".join(text.replace("\0", " ").split())
