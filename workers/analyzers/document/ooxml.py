"""
Looks into Office Open XML: parts, relationships, fields, and the OLE files inside.

XML is searched, not parsed: the few attributes that matter need no parser, and none can
be fooled into expanding entities.
"""

from __future__ import annotations

import html
import re
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import PurePosixPath

from workers.analyzers.document.facts import PARSER_ERRORS, PART_BYTES, Document
from workers.analyzers.document.ole import read_ole
from workers.findings import clean

CONTENT_TYPES = "[Content_Types].xml"

_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MOST_PARTS = 5000
#: What all parts together may unpack to.
_TOTAL_BYTES = 8 * PART_BYTES

_RELATIONSHIP = re.compile(r"<(?:\w+:)?Relationship\s[^>]{1,8192}>")
_ATTRIBUTE = re.compile(r"([\w:]{1,64})\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_INSTRUCTION = re.compile(
    r"<(?:\w+:)?instrText\b[^>]{0,512}>([^<]{0,8192})<|\binstr\s*=\s*\"([^\"]{0,8192})\""
)
_DDE = re.compile(r"\bDDE(?:AUTO)?\b", re.IGNORECASE)
_DDE_LINK = re.compile(r"<(?:\w+:)?ddeLink\b")
#: Endings of relationship types that fetch and open what they point at.
_TEMPLATES = ("attachedtemplate",)
_OBJECTS = ("oleobject", "frame", "subdocument", "externallinkpath", "package")


def read_ooxml(archive: zipfile.ZipFile, document: Document) -> None:
    """Note what is remarkable in an Office Open XML package."""
    total = 0
    for info in islice(archive.infolist(), _MOST_PARTS):
        try:
            data = _read_part(archive, info)
        except PARSER_ERRORS:
            document.findings.add("part_unreadable", where=info.filename)
            continue
        total += len(data)
        if len(data) > PART_BYTES or total > _TOTAL_BYTES:
            document.findings.add("part_too_large", where=info.filename)
            document.truncated = True
            if total > _TOTAL_BYTES:
                return
            continue
        _judge_part(info.filename, data, document)
    if len(archive.infolist()) > _MOST_PARTS:
        document.truncated = True


def _read_part(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as stream:
        return stream.read(PART_BYTES + 1)


def _judge_part(name: str, data: bytes, document: Document) -> None:
    path = PurePosixPath(name.lower())
    if "embeddings" in path.parts:
        document.add_object(
            kind="embedded_object",
            name="",
            file_name=name.rsplit("/", 1)[-1],
            size=len(data),
            where=name,
        )
    if data.startswith(_OLE_MAGIC):
        read_ole(data, name, document)
    elif path.suffix in {".xml", ".rels", ".vml"}:
        _judge_xml(path, name, _text(data), document)
    if "activex" in path.parts:
        document.findings.add("activex", where=name)


def _judge_xml(path: PurePosixPath, name: str, text: str, document: Document) -> None:
    if path.suffix == ".rels":
        for row in _relationships(text):
            _judge_relationship(row, name, document)
        return
    if "macrosheets" in path.parts:
        document.findings.add("macro_excel4", where=name)
    instructions = "".join(
        html.unescape(match[1] or match[2] or "")
        for match in _INSTRUCTION.finditer(text)
    )
    if _DDE.search(instructions) or _DDE_LINK.search(text):
        document.findings.add("dde", where=name)


def _relationships(text: str) -> Iterator[dict[str, str]]:
    for match in _RELATIONSHIP.finditer(text):
        yield {
            name.lower(): html.unescape(double or single)
            for name, double, single in _ATTRIBUTE.findall(match[0])
        }


def _judge_relationship(row: dict[str, str], part: str, document: Document) -> None:
    if row.get("targetmode", "").lower() != "external":
        return
    target = row.get("target", "")
    kind = row.get("type", "").rsplit("/", 1)[-1]
    if kind.lower() in _TEMPLATES:
        finding = "external_template"
    elif kind.lower() in _OBJECTS:
        finding = "external_object"
    else:
        finding = "external_link"
    document.findings.add(finding, name=target, where=part, detail=kind)
    shown = {"type": clean(kind), "target": clean(target), "part": clean(part)}
    document.keep(document.relationships, shown)


def _text(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8", "replace")
