"""
Looks into documents that are one XML file: Word's, Excel's, flat packages, flat ODF.

Text in any Unicode form is read. Other XML is none of ours, and has no findings.
"""

from __future__ import annotations

from itertools import islice

from workers.analyzers.document.active_mime import projects_of_xml
from workers.analyzers.document.budget import MOST_PARTS
from workers.analyzers.document.facts import Document
from workers.analyzers.document.markup import (
    attributes,
    base64_at,
    elements,
    find_dde_field,
    find_dde_formula,
    is_elsewhere,
)
from workers.analyzers.document.odf import read_flat_odf
from workers.analyzers.document.ole import read_ole, read_stored_object
from workers.analyzers.document.ooxml import judge_part
from workers.analyzers.document.properties import note_old_xml

#: Namespaces of the XML in which Office keeps documents, macros included, in one file.
_WORD = "schemas.microsoft.com/office/word/2003/wordml"
_PACKAGE = "schemas.microsoft.com/office/2006/xmlPackage"
_SPREADSHEET = "urn:schemas-microsoft-com:office:spreadsheet"
_OPEN_DOCUMENT = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
#: An OLE file in Base64 begins so.
_ENCODED_OLE = "0M8R4KGxGu"
_MOST_OBJECTS = 200


def is_office_xml(text: str) -> bool:
    """Whether *text* names the namespace of a document, and begins as XML does."""
    spaces = (_WORD, _PACKAGE, _SPREADSHEET, _OPEN_DOCUMENT)
    return text.lstrip().startswith("<") and any(space in text for space in spaces)


def read_flat_xml(text: str, document: Document) -> None:
    """Note what is remarkable in the XML document *text*."""
    if _OPEN_DOCUMENT in text:
        read_flat_odf(text, document)
        _read_objects(text, document)
    elif _PACKAGE in text:
        _read_parts(text, document)
    elif _WORD in text:
        _read_word(text, document)
        note_old_xml(text, document)
    elif _SPREADSHEET in text:
        _read_spreadsheet(text, document)
        note_old_xml(text, document)


def _read_word(text: str, document: Document) -> None:
    for project in projects_of_xml(text, document):
        read_ole(project, "binData", document)
    if command := find_dde_field(text):
        document.add_dde(command, where="field")
    for row in elements(text, "attachedTemplate"):
        target = row.get("w:val", "")
        if is_elsewhere(target):
            document.findings.add("external_template", name=target)
    _read_objects(text, document)


def _read_spreadsheet(text: str, document: Document) -> None:
    for row in elements(text, "Cell"):
        for name, formula in row.items():
            # Whoever wrote it chose the prefix.
            is_formula = name.rpartition(":")[2] == "formula"
            if is_formula and (command := find_dde_formula(formula)):
                document.add_dde(command, where="Cell")
    for piece in text.split("<SupBook>")[1:_MOST_OBJECTS]:
        path = piece.partition("<Path>")[2][:2048].partition("<")[0]
        if "|" in path:
            document.add_dde(path, where="SupBook")
    for project in projects_of_xml(text, document):
        read_ole(project, "binData", document)


def _read_parts(text: str, document: Document) -> None:
    """A flat package: each part stands in an element, as XML or in Base64."""
    pieces = text.split("<pkg:part")
    for piece in islice(pieces, 1, 1 + MOST_PARTS):
        if not document.budget.spend(len(piece)):
            document.stop_reading("pkg:part")
            return
        tag, _, body = piece.partition(">")
        name = attributes(tag).get("pkg:name", "").lstrip("/")
        _, binary, encoded = body.partition("<pkg:binaryData>")
        data = base64_at(encoded) if binary else body.encode("utf-8", "replace")
        judge_part(name or "part", data, document)


def _read_objects(text: str, document: Document) -> None:
    at = 0
    for number in range(1, _MOST_OBJECTS):
        at = text.find(_ENCODED_OLE, at)
        if at < 0:
            return
        data = base64_at(text, at)
        at += max(len(data), 1)
        read_stored_object(data, f"object {number}", document)
