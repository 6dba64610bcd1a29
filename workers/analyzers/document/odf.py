"""
Looks into OpenDocument files, packed or flat: Basic modules, events, objects, DDE.

XML is searched, not parsed: see ``markup``.
"""

from __future__ import annotations

import html
import re
import zipfile
from pathlib import PurePosixPath

from workers.analyzers.document.facts import Document
from workers.analyzers.document.macros import judge_source
from workers.analyzers.document.markup import (
    attributes,
    decode,
    elements,
    find_dde_formula,
)
from workers.analyzers.document.ole import OLE_MAGIC, read_stored_object
from workers.analyzers.document.ooxml import read_object
from workers.analyzers.document.properties import note_odf
from workers.analyzers.document.zip_parts import read_parts

MIME_TYPE = b"application/vnd.oasis.opendocument"

#: Lists of modules, not modules.
_INDEXES = frozenset(
    {"script-lc.xml", "script-lb.xml", "dialog-lc.xml", "dialog-lb.xml"}
)
#: Events that nobody asks for, by the last part of their names.
_AUTOMATIC = ("load", "open", "start", "new", "loadfinished", "viewcreated")
_MOST_MODULES = 200
_MODULE_MARK = "<ooo:module"
_SOURCE = re.compile(r"<ooo:source-code\b[^<>]{0,256}>([^<]{0,1000000})")
_FORMULA = re.compile(
    r"\bformula\s*+=\s*+(?:\"([^\"<]{1,2048})|'([^'<]{1,2048}))", re.IGNORECASE
)
_DDE_CALL = re.compile(r"(?<![\w.])DDE\s{0,8}\((.{1,512})", re.IGNORECASE | re.DOTALL)
#: A program that is asked is none if it is the office itself.
_OFFICE = "soffice"


def is_odf(archive: zipfile.ZipFile) -> bool:
    """Whether a member says so; without one, whether there is a list of its parts."""
    names = archive.namelist()
    if "mimetype" not in names:
        return {"META-INF/manifest.xml", "content.xml"} <= set(names)
    with archive.open("mimetype") as stream:
        return stream.read(len(MIME_TYPE)) == MIME_TYPE


def read_odf(archive: zipfile.ZipFile, document: Document) -> None:
    """Note what is remarkable in an OpenDocument file."""
    for name, data in read_parts(archive, document):
        _judge_part(PurePosixPath(name), data, document)


def read_flat_odf(text: str, document: Document) -> None:
    """Note what is remarkable in an OpenDocument that is one XML file."""
    pieces = text.split(_MODULE_MARK)[1:]
    if len(pieces) > _MOST_MODULES:
        document.findings.cut("modules", f"{_MOST_MODULES} of {len(pieces)}")
    for piece in pieces[:_MOST_MODULES]:
        tag, _, rest = piece.partition(">")
        if source := _SOURCE.search(rest):
            module = attributes(tag).get("ooo:name", "")
            code = html.unescape(source[1])
            judge_source(code, module, where="office:scripts", document=document)
    _judge_text(text, "", document)
    note_odf(text, document)


def _judge_part(path: PurePosixPath, data: bytes, document: Document) -> None:
    where = str(path)
    if path.parts[0] in {"Basic", "Scripts"} and path.name not in _INDEXES:
        code = html.unescape(decode(data))
        judge_source(code, path.stem, where=where, document=document)
    elif where == "meta.xml":
        note_odf(decode(data), document)
    elif path.name in {"content.xml", "styles.xml"}:
        _judge_text(decode(data), where, document)
    elif where == "META-INF/manifest.xml" and b"<manifest:encryption-data" in data:
        document.encrypted = True
        document.findings.add("encrypted", where=where)
    _judge_object(path, data, document)


def _judge_object(path: PurePosixPath, data: bytes, document: Document) -> None:
    """An object is a folder with a document of its own, or one file of another kind."""
    where = str(path)
    if path.parts[0] == "ObjectReplacements":
        return
    if len(path.parts) > 1 and path.name == "content.xml":
        document.findings.add("embedded_object", name=path.parts[0], where=where)
    elif data.startswith(OLE_MAGIC):
        read_stored_object(data, where, document)
    elif path.parts[0].startswith("Object ") and len(path.parts) == 1:
        document.add_object(
            kind="embedded_object",
            name="",
            file_name=path.name,
            size=len(data),
            where=where,
        )
        read_object(data, where, document)


def _judge_text(text: str, where: str, document: Document) -> None:
    for row in elements(text, "event-listener"):
        event = row.get("script:event-name", "")
        if event.rpartition(":")[2].lower().removeprefix("on") in _AUTOMATIC:
            document.findings.add("macro_auto_exec", name=event, where=where)
    for name in ("dde-source", "dde-connection-decl"):
        for row in elements(text, name):
            program = row.get("office:dde-application", "")
            if program and program.lower() != _OFFICE:
                command = f"{program} {row.get('office:dde-topic', '')}"
                document.add_dde(command, where=where)
    if formula := _find_formula(text):
        document.add_dde(formula, where=where)
    _judge_links(text, where, document)


def _find_formula(text: str) -> str | None:
    """The first formula that asks another program, in either way of writing it."""
    for match in _FORMULA.finditer(text):
        formula = html.unescape(match[1] or match[2])
        if (call := _DDE_CALL.search(formula)) and _OFFICE not in call[1].lower():
            return call[1]
        if command := find_dde_formula(formula):
            return command
    return None


def _judge_links(text: str, where: str, document: Document) -> None:
    for name in ("object", "object-ole", "plugin", "floating-frame"):
        for row in elements(text, name):
            target = row.get("xlink:href", "")
            if "://" in target and not target.startswith("vnd.sun.star."):
                document.findings.add("external_object", name=target, where=where)
