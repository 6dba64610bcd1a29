"""
Searches the XML of Office formats: elements and attributes, fields, DDE commands.

XML is searched, not parsed: the few attributes that matter need no parser, and none can
be fooled into expanding entities. Every pattern begins at a literal and ends at the
next tag, so that hostile text costs linear time; what is found is counted, too.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Iterator
from itertools import islice

#: Elements of one kind that are looked at in one part. A sheet may have 65,530 links;
#: this many take a fifth of a second.
MOST_ELEMENTS = 100_000
#: Characters of one tag that are looked at. Blanks before an attribute are no reason
#: not to see it.
_TAG_CHARACTERS = 1024 * 1024

_ATTRIBUTE = re.compile(
    r"(?<![\w:])((?:\w{1,64}:)?[\w-]{1,64}+)\s*+=\s*+(?:\"([^\"]*)\"|'([^']*)')"
)
_FIELD = re.compile(
    r"fldCharType\s*+=\s*+[\"'](begin|separate|end)"
    r"|<(?:\w{1,64}:)?instrText\b[^<>]{0,512}>([^<]{0,8192})"
    r"|\b(?:instr|instrText)\s*+=\s*+(?:\"([^\"<]{0,8192})|'([^'<]{0,8192}))"
)
#: Word reads a command behind blanks and quotation marks, too.
_DDE = re.compile(
    r"[\s\"'\N{LEFT DOUBLE QUOTATION MARK}]*DDE(?:AUTO)?\b", re.IGNORECASE
)
_QUOTED = re.compile(r"\s*QUOTE((?:\s{1,8}\d{1,5}){1,4096})\s*\Z", re.IGNORECASE)
#: A formula that asks another program for an item, ``=cmd|'/c calc'!A1``; without one
#: it is none.
_DDE_FORMULA = re.compile(
    r"(?<![\w.|])([A-Za-z_][\w.]{0,63}|'[^'\r\n]{1,64}')\|"
    r"(?:'[^'\r\n]{1,2048}'|[^'\s!|]{1,256})!(?=['\w$*])"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*+")
_LARGEST_CODE_POINT = 0x10FFFF


#: A file on a drive of the machine: where whoever wrote the document kept it.
_LOCAL_FILE = re.compile(r"(?i)(?:file:/{0,3})?[a-z](?::|%3a)[/\\]|file:///[^/\\%]")
_NETWORK = ("\\\\", "//", "\\/", "/\\")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,32}:")


def decode(data: bytes) -> str:
    """Turn the bytes of an XML part into text, by its byte order mark or first tag."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    if data.startswith(b"<\0"):
        return data.decode("utf-16-le", "replace")
    if data.startswith(b"\0<"):
        return data.decode("utf-16-be", "replace")
    return data.decode("utf-8-sig", "replace")


def elements(text: str, name: str) -> Iterator[dict[str, str]]:
    """Yield the attributes of each element *name*, whatever its prefix."""
    if name not in text:
        return
    pattern = re.compile(
        rf"<(?:\w{{1,64}}:)?{re.escape(name)}(?=[\s/>])([^<]{{0,{_TAG_CHARACTERS}}})"
    )
    for match in islice(pattern.finditer(text), MOST_ELEMENTS):
        yield attributes(match[1])


def is_elsewhere(target: str) -> bool:
    """Whether *target* is on another machine, not in a folder of the author's."""
    plain = target.strip()
    if _LOCAL_FILE.match(plain):
        return False
    return plain.startswith(_NETWORK) or _SCHEME.match(plain) is not None


def is_crowded(text: str) -> bool:
    """Whether there are more of the elements that matter than are looked at."""
    # A field's text has two tags, its marks have one; both are counted together.
    fields = text.count("fldCharType") + text.count("instr") // 2
    return max(text.count("Relationship"), fields) > MOST_ELEMENTS


def attributes(tag: str) -> dict[str, str]:
    """The attributes within *tag*, their names in lower case."""
    return {
        name.lower(): html.unescape(double or single)
        for name, double, single in _ATTRIBUTE.findall(tag)
    }


def base64_at(text: str, at: int = 0) -> bytes:
    """Decode the Base64 that begins at *at*; nothing where it is none."""
    match = _BASE64.match(text, at)
    plain = "".join(match[0].split()).rstrip("=") if match else ""
    # One character alone is six bits of nothing; what is missing behind others is fill.
    plain = plain[:-1] if len(plain) % 4 == 1 else plain
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4))
    except binascii.Error:
        return b""


def find_dde_field(text: str) -> str | None:
    """The first Word field that starts a program through DDE, however it is split."""
    if "instr" not in text:
        return None
    quoted: list[str] = []
    for field in _fields(text):
        if _DDE.match(field):
            return field.strip()
        if codes := _QUOTED.match(field):
            quoted.append(_spelled(codes[1]))
    # A field may spell its command in numbers, in fields within it.
    spelled = "".join(quoted)
    return spelled if _DDE.match(spelled) else None


def find_dde_formula(text: str) -> str | None:
    """The first formula that asks another program for an item."""
    if "|" not in text:
        return None
    match = _DDE_FORMULA.search(text)
    return match[0] if match else None


def _fields(text: str) -> Iterator[str]:
    """The instructions of each field; what stands in parts is put together."""
    parts: list[str] = []
    for match in islice(_FIELD.finditer(text), MOST_ELEMENTS):
        mark, instruction, double, single = match.groups()
        if mark or instruction is None:
            yield html.unescape("".join(parts))
            parts = []
        if instruction is not None:
            parts.append(instruction)
        elif not mark:
            yield html.unescape(double or single or "")
    yield html.unescape("".join(parts))


def _spelled(codes: str) -> str:
    return "".join(
        chr(int(code)) for code in codes.split() if int(code) <= _LARGEST_CODE_POINT
    )
