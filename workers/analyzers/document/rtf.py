"""
Looks into Rich Text: embedded objects and templates from elsewhere.
"""

from __future__ import annotations

import re
from itertools import islice

from oletools.rtfobj import RtfObject, RtfObjParser

from workers.analyzers.document.budget import Budget
from workers.analyzers.document.facts import PARSER_ERRORS, Document
from workers.analyzers.document.markup import is_elsewhere
from workers.analyzers.document.ole import read_ole
from workers.analyzers.document.properties import note_rtf

_OLE_MAGIC = b"\xd0\xcf\x11\xe0"
_TEMPLATE = re.compile(rb"\\template(?![a-z])", re.IGNORECASE)
#: What stands between the letters of a name, or spells one of them.
_PIECE = re.compile(
    rb"\\'(?P<code>[0-9a-f]{2})|\\u(?P<number>-?\d{1,5})[ ]?(?:\?|\\'[0-9a-f]{2})?"
    rb"|\\(?P<sign>[^a-z0-9\r\n])|\\[a-z]{1,32}-?\d{0,10}[ ]?|[{\r\n]|(?P<end>\})",
    re.IGNORECASE,
)
_NAME_BYTES = 4096
#: Upper half of the characters that are those of a font alone.
_PRIVATE_AREA = 0xF0
_MOST_TEMPLATES = 100
_UPDATE = re.compile(rb"\\objupdate\b")
_FIELD = re.compile(rb"\\fldinst\b")
#: Before a command and between its letters may stand groups and their formats.
_FORMATS = re.compile(rb"[{}\r\n]|\\\*|\\[a-z]{1,32}-?\d{0,10} ?", re.IGNORECASE)
_SPELLED = re.compile(rb"\\'([0-9a-f]{2})", re.IGNORECASE)
_DDE = re.compile(rb"[\"\s]{0,64}(DDE(?:AUTO)?\b.{0,512})", re.IGNORECASE | re.DOTALL)
_FIELD_BYTES = 2048
_MOST_FIELDS = 20_000
_MOST_OBJECTS = 200
#: Steps of the parser, some microseconds each, between two looks at the clock.
_STEPS_PER_LOOK = 1000


class _BoundedParser(RtfObjParser):  # type: ignore[misc]  # it has no types
    """The library's parser, which is pure Python, ended when the budget is."""

    def __init__(self, data: bytes, budget: Budget) -> None:
        super().__init__(data)
        self._budget = budget
        self._steps = 0

    def open_group(self) -> None:
        self._step()

    def close_group(self) -> None:
        self._step()

    def control_word(
        self, matchobject: re.Match[bytes], cword: bytes, param: bytes | None
    ) -> None:
        self._step()
        super().control_word(matchobject, cword, param)

    def _step(self) -> None:
        self._steps += 1
        if self._steps % _STEPS_PER_LOOK == 0 and not self._budget.has_time():
            raise TimeoutError


def read_rtf(data: bytes, document: Document, *, inside: str = "") -> None:
    """Note what is remarkable in the Rich Text *data*, perhaps *inside* a document."""
    _judge_templates(data, document, inside)
    if _UPDATE.search(data):
        document.findings.add("rtf_object_update")
    _judge_fields(data, document)
    if not inside:
        note_rtf(data, document)
    parser = _BoundedParser(data, document.budget)
    try:
        parser.parse()
    except TimeoutError:
        document.stop_reading("text")
    except PARSER_ERRORS:
        document.findings.add("part_unreadable", detail="the text ends too early")
    for number, item in enumerate(parser.objects[:_MOST_OBJECTS], start=1):
        where = f"{inside}:object {number}" if inside else f"object {number}"
        _judge_object(item, where, document)
    if len(parser.objects) > _MOST_OBJECTS:
        amount = f"{_MOST_OBJECTS} of {len(parser.objects)}"
        document.findings.cut("embedded objects", amount)


def _judge_templates(data: bytes, document: Document, inside: str) -> None:
    for match in islice(_TEMPLATE.finditer(data), _MOST_TEMPLATES):
        target = _spelled(data[match.end() : match.end() + _NAME_BYTES])
        if is_elsewhere(target):
            document.findings.add("external_template", name=target, where=inside)


def _spelled(raw: bytes) -> str:
    """The name that *raw* begins with, up to the end of its group."""
    parts: list[str] = []
    at = 0
    for piece in _PIECE.finditer(raw):
        parts.append(raw[at : piece.start()].decode("latin-1"))
        at = piece.end()
        if piece["end"]:
            break
        if piece["code"]:
            parts.append(chr(int(piece["code"], 16)))
        elif piece["number"]:
            # Word writes the upper half of them as negative numbers; some readers
            # take the lowest byte of a character from the private area.
            code = int(piece["number"]) & 0xFFFF
            parts.append(chr(code & 0xFF if code >> 8 == _PRIVATE_AREA else code))
        elif piece["sign"] not in {None, b"*"}:
            parts.append(piece["sign"].decode("latin-1"))
    return "".join(parts).strip()


def _judge_fields(data: bytes, document: Document) -> None:
    for match in islice(_FIELD.finditer(data), _MOST_FIELDS):
        if not document.budget.has_time():
            document.stop_reading("fields")
            return
        field = data[match.end() : match.end() + _FIELD_BYTES]
        # As far as it may be spelled so that it looks like nothing.
        text = _SPELLED.sub(lambda code: bytes.fromhex(code[1].decode()), field)
        if command := _DDE.match(_FORMATS.sub(b"", text)):
            document.add_dde(command[1].decode("latin-1"), where="field")
            return


def _judge_object(item: RtfObject, where: str, document: Document) -> None:
    document.add_object(
        kind="rtf_object",
        name=_plain(item.class_name) if item.is_ole else "",
        file_name=_plain(item.filename) if item.is_package else "",
        size=len(item.rawdata or b""),
        where=where,
    )
    inner = item.oledata if item.is_ole else item.rawdata
    if inner and inner.startswith(_OLE_MAGIC):
        read_ole(inner, where, document)


def _plain(name: bytes | str | None) -> str:
    text = name.decode("latin-1") if isinstance(name, bytes) else name or ""
    return text.rstrip("\0")
