"""
Looks into Office Open XML: parts, relationships, fields, and the OLE files inside.

A package may be a ZIP file or flat XML: both are parts with names here.
"""

from __future__ import annotations

import html
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath

from workers.analyzers.document.biff import find_xlsb_dde
from workers.analyzers.document.budget import MOST_DEPTH
from workers.analyzers.document.facts import PARSER_ERRORS, Document
from workers.analyzers.document.markup import (
    MOST_ELEMENTS,
    decode,
    elements,
    find_dde_field,
    find_dde_formula,
    is_crowded,
    is_elsewhere,
)
from workers.analyzers.document.ole import OLE_MAGIC, read_ole
from workers.analyzers.document.properties import note_part
from workers.analyzers.document.rtf import read_rtf
from workers.analyzers.document.zip_parts import (
    MARKUP,
    TooManyMembersError,
    open_package,
    read_parts,
)
from workers.findings import clean

CONTENT_TYPES = "[Content_Types].xml"

_ZIP_MAGIC, _RTF_MAGIC = b"PK\x03\x04", b"{\\rt"
_RTF_BEGINS = 512

#: Endings of relationship types that fetch and open what they point at.
_TEMPLATES = ("attachedtemplate",)
_OBJECTS = (
    "oleobject",
    "frame",
    "subdocument",
    "externallinkpath",
    "package",
    "afchunk",
)
#: The formula of a cell, a name or a rule, if there is a bar in it.
_FORMULA = re.compile(
    r"<(?:\w{1,64}:)?(?:f|formula|formula1|formula2|definedName)(?:\s[^<>]{0,256})?>"
    r"([^<|]{0,512}\|[^<]{0,2048})"
)
#: What a slide does when somebody clicks, or only points: it starts a program.
_RUNS_PROGRAM = re.compile(r"\baction\s*+=\s*+[\"']ppaction://program", re.IGNORECASE)
#: Relationship types of sheets with Excel 4 macros, whatever their parts are called.
_MACRO_SHEETS = ("xlmacrosheet", "xlintlmacrosheet")


def read_ooxml(
    archive: zipfile.ZipFile, document: Document, *, inside: str = ""
) -> None:
    """Note what is remarkable in a package, itself perhaps *inside* a document."""
    for name, data in read_parts(archive, document):
        judge_part(name, data, document, inside=inside)


def read_package(data: bytes, where: str, document: Document) -> None:
    """Note what is remarkable in the package *data*, found at *where* in another."""
    budget = document.budget
    if budget.depth >= MOST_DEPTH:
        document.stop_reading(where)
        return
    budget.depth += 1
    try:
        with open_package(io.BytesIO(data)) as archive:
            read_ooxml(archive, document, inside=where)
    except TooManyMembersError:
        document.findings.add("bomb", where=where, detail="too many members")
    except PARSER_ERRORS:
        document.findings.add("part_unreadable", where=where)
    finally:
        budget.depth -= 1


def read_object(data: bytes, where: str, document: Document) -> None:
    """Look into an object that is a document itself."""
    if data.startswith(OLE_MAGIC):
        package = read_ole(data, where, document)
        if package is not None:
            read_package(package, where, document)
    elif data.startswith(_ZIP_MAGIC):
        read_package(data, where, document)
    elif _is_rtf(data):
        read_rtf(data, document, inside=where)


def _is_rtf(data: bytes) -> bool:
    return data[:_RTF_BEGINS].lstrip().startswith(_RTF_MAGIC)


def judge_part(name: str, data: bytes, document: Document, *, inside: str = "") -> None:
    """Note what is remarkable in one part of a package."""
    path = PurePosixPath(name.lower())
    where = f"{inside}:{name}" if inside else name
    if "embeddings" in path.parts:
        document.add_object(
            kind="embedded_object",
            name="",
            file_name=name.rsplit("/", 1)[-1],
            size=len(data),
            where=where,
        )
        read_object(data, where, document)
    elif data.startswith((OLE_MAGIC, _ZIP_MAGIC)) or _is_rtf(data):
        # Word makes such a chunk part of the text, wherever it is.
        read_object(data, where, document)
    elif path.suffix in MARKUP:
        text = decode(data)
        _judge_xml(path, where, text, document)
        if not inside:
            note_part(str(path), text, document)
    elif "externallinks" in path.parts and (command := find_xlsb_dde(data)):
        document.add_dde(command, where=where)
    if "macrosheets" in path.parts and path.suffix in {".xml", ".bin"}:
        _note_macro_sheet(path, where, document)
    if "activex" in path.parts:
        document.findings.add("activex", where=where)


def _note_macro_sheet(path: PurePosixPath, name: str, document: Document) -> None:
    if not path.name.startswith("binaryindex"):
        document.findings.add("macro_excel4", where=name)


def _judge_xml(path: PurePosixPath, name: str, text: str, document: Document) -> None:
    if is_crowded(text):
        document.findings.add("reading_stopped", where=name, detail="too many elements")
        document.findings.cut(name, f"{MOST_ELEMENTS} elements of more")
    if path.suffix == ".rels":
        for row in elements(text, "Relationship"):
            _judge_relationship(row, name, document)
        return
    if any(True for _ in elements(text, "macrosheet")):
        document.findings.add("macro_excel4", where=name)
    if _RUNS_PROGRAM.search(text):
        document.findings.add("slide_program", where=name)
    for command in _dde_commands(text):
        document.add_dde(command, where=name)


def _dde_commands(text: str) -> Iterator[str]:
    for row in elements(text, "ddeLink"):
        yield f"{row.get('ddeservice', '')} {row.get('ddetopic', '')}"
    if field := find_dde_field(text):
        yield field
    if formula := _find_formula(text):
        yield formula


def _find_formula(text: str) -> str | None:
    """A DDE formula, where a cell holds one; the text of cells is elsewhere."""
    for match in _FORMULA.finditer(text if "|" in text else ""):
        if formula := find_dde_formula(html.unescape(match[1])):
            return formula
    return None


def _judge_relationship(row: dict[str, str], part: str, document: Document) -> None:
    kind = row.get("type", "").rsplit("/", 1)[-1]
    target = row.get("target", "")
    if kind.lower() in _MACRO_SHEETS:
        document.findings.add("macro_excel4", where=_sibling(part, target))
    if row.get("targetmode", "").lower() != "external":
        return
    if not is_elsewhere(target):
        # Where whoever wrote it kept the file: nothing comes from another machine.
        finding = "external_link"
    elif kind.lower() in _TEMPLATES:
        finding = "external_template"
    elif kind.lower() in _OBJECTS:
        finding = "external_page" if _is_page(target) else "external_object"
    else:
        finding = "external_link"
    document.findings.add(finding, name=target, where=part, detail=kind)
    shown = {"type": clean(kind), "target": clean(target), "part": clean(part)}
    document.keep("relationships", shown)


def _is_page(target: str) -> bool:
    """Whether an object is a web page, whose scripts then run (CVE-2021-40444)."""
    address = target.lower()
    is_web = address.startswith(("http://", "https://"))
    return address.startswith("mhtml:") or (is_web and "!" in address)


def _sibling(part: str, target: str) -> str:
    """The part that *target* names, as seen from the relationships *part*."""
    if target.startswith("/"):
        return target[1:]
    return str(PurePosixPath(part).parent.parent / target)
