"""
Reads what a document says of itself: title, author, program, times, template.

All of it is the author's word. One name for each thing, whatever the format calls it.
Markup is searched, not parsed, as ``markup`` does.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from datetime import datetime
from itertools import islice

import olefile  # type: ignore[import-untyped]  # it has no stubs

from workers.analyzers.document.facts import PARSER_ERRORS, Document

#: What stands for itself, by the element that holds it.
_CORE = {
    "dc:title": "title",
    "dc:subject": "subject",
    "dc:creator": "author",
    "dc:description": "comments",
    "cp:keywords": "keywords",
    "cp:lastModifiedBy": "last_saved_by",
    "cp:revision": "revision",
    "dcterms:created": "created",
    "dcterms:modified": "saved",
}
_APP = {
    "Template": "template",
    "Application": "application",
    "AppVersion": "application_version",
    "Company": "company",
    "Manager": "manager",
    "HyperlinkBase": "hyperlink_base",
}
_ODF = {
    "dc:title": "title",
    "dc:subject": "subject",
    "dc:description": "comments",
    "dc:creator": "last_saved_by",
    "dc:date": "saved",
    "meta:initial-creator": "author",
    "meta:creation-date": "created",
    "meta:generator": "application",
    "meta:editing-cycles": "revision",
}
#: Of the XML of Office 2003, with and without the prefix.
_OLD_XML = {
    "Title": "title",
    "Subject": "subject",
    "Author": "author",
    "LastAuthor": "last_saved_by",
    "Revision": "revision",
    "Created": "created",
    "LastSaved": "saved",
    "Company": "company",
    "Template": "template",
}
_XMP = {
    "dc:title": "title",
    "dc:creator": "author",
    "dc:description": "subject",
    "pdf:Keywords": "keywords",
    "pdf:Producer": "producer",
    "xmp:CreatorTool": "application",
    "xmp:CreateDate": "created",
    "xmp:ModifyDate": "saved",
}
_OLE = {
    "title": "title",
    "subject": "subject",
    "author": "author",
    "keywords": "keywords",
    "comments": "comments",
    "template": "template",
    "last_saved_by": "last_saved_by",
    "revision_number": "revision",
    "create_time": "created",
    "last_saved_time": "saved",
    "creating_application": "application",
    "company": "company",
    "manager": "manager",
}
_PDF = {
    "/Title": "title",
    "/Author": "author",
    "/Subject": "subject",
    "/Keywords": "keywords",
    "/Creator": "application",
    "/Producer": "producer",
    "/CreationDate": "created",
    "/ModDate": "saved",
}
_RTF = {
    b"title": "title",
    b"subject": "subject",
    b"author": "author",
    b"operator": "last_saved_by",
    b"company": "company",
    b"doccomm": "comments",
}

#: Names of properties are looked for in so much of a part, and so many times.
_TEXT_CHARACTERS = 256 * 1024
_MOST_ELEMENTS = 1000
_ELEMENT = re.compile(
    r"<(?:o:)?([\w:-]{1,32})(?:\s[^<>]{0,512})?>"
    r"(?:\s{0,64}<rdf:(?:Alt|Seq|Bag|li)\b[^<>]{0,128}>){0,3}([^<]{1,4096})<"
)
_ATTRIBUTE = re.compile(
    r"\b((?:pdf|xmp):\w{1,32})=(?:\"([^\"<]{1,512})|'([^'<]{1,512}))"
)
_ODF_TEMPLATE = re.compile(r"<meta:template\s[^<>]{0,1024}xlink:href=\"([^\"<]{1,512})")
_PDF_DATE = re.compile(r"(?:D:)?(\d{4})(\d\d)(\d\d)(\d\d)?(\d\d)?(\d\d)?(.{0,6})")
_RTF_INFO_BYTES = 16 * 1024
_RTF_TEXT = re.compile(rb"\{(?:\\\*)?\\([a-z]{1,16}) ([^{}]{1,1024})")
_RTF_TIME = re.compile(
    rb"\{\\(creatim|revtim)\\yr(\d{4})\\mo(\d{1,2})\\dy(\d{1,2})(?:\\hr(\d{1,2}))?"
    rb"(?:\\min(\d{1,2}))?"
)


def note_part(path: str, text: str, document: Document) -> None:
    """Note the properties of a package, if its part *path* (in lower case) has some."""
    if path == "docprops/core.xml":
        _note_elements(text, _CORE, document)
    elif path == "docprops/app.xml":
        _note_elements(text, _APP, document)


def note_odf(text: str, document: Document) -> None:
    """Note those of an OpenDocument, from its part of metadata or the whole of it."""
    _note_elements(text, _ODF, document)
    if template := _ODF_TEMPLATE.search(text):
        document.note_property("template", html.unescape(template[1]))


def note_old_xml(text: str, document: Document) -> None:
    """Note those of a document of Office 2003 in XML."""
    _note_elements(text.partition("DocumentProperties")[2], _OLD_XML, document)


def note_xmp(text: str, document: Document) -> None:
    """Note those of an XMP packet."""
    _note_elements(text, _XMP, document)
    for name, double, single in islice(_ATTRIBUTE.findall(text), _MOST_ELEMENTS):
        if name in _XMP:
            document.note_property(_XMP[name], html.unescape(double or single))


def note_ole(ole: olefile.OleFileIO, document: Document) -> None:
    """Note those of a compound file."""
    try:
        metadata = ole.get_metadata()
    except PARSER_ERRORS:
        document.findings.add("part_unreadable", where="SummaryInformation")
        return
    encoding = _encoding(metadata.codepage)
    for name, known in _OLE.items():
        value = getattr(metadata, name)
        if isinstance(value, bytes):
            value = value.rstrip(b"\0").decode(encoding, "replace")
        if isinstance(value, datetime):
            value = f"{value:%Y-%m-%dT%H:%M:%SZ}"
        document.note_property(known, str(value or ""))


def note_pdf(info: Mapping[str, object], document: Document) -> None:
    """Note those of a PDF's dictionary of information."""
    for name, known in _PDF.items():
        if name in info:
            value = str(info[name])
            is_time = known in {"created", "saved"}
            document.note_property(known, _pdf_time(value) if is_time else value)


def note_rtf(data: bytes, document: Document) -> None:
    """Note those of the group of information of Rich Text."""
    at = data.find(b"{\\info")
    if at < 0:
        return
    info = data[at : at + _RTF_INFO_BYTES]
    for match in _RTF_TEXT.finditer(info):
        if match[1] in _RTF:
            document.note_property(_RTF[match[1]], match[2].decode("latin-1"))
    for match in _RTF_TIME.finditer(info):
        year, month, day, hour, minute = (int(part or 0) for part in match.groups()[1:])
        known = "created" if match[1] == b"creatim" else "saved"
        time = f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}"
        document.note_property(known, time)


def _note_elements(text: str, names: Mapping[str, str], document: Document) -> None:
    found = _ELEMENT.finditer(text[:_TEXT_CHARACTERS])
    for match in islice(found, _MOST_ELEMENTS):
        if match[1] in names:
            document.note_property(names[match[1]], html.unescape(match[2]))


def _encoding(codepage: int | None) -> str:
    if codepage in {65001, 1200}:
        return "utf-8"
    try:
        name = f"cp{codepage}"
        b"".decode(name)
    except LookupError:
        return "latin-1"
    return name


def _pdf_time(value: str) -> str:
    match = _PDF_DATE.match(value)
    if match is None:
        return value
    year, month, day, hour, minute, second = (
        part or "00" for part in match.groups()[:6]
    )
    zone = match[7].replace("'", ":").strip(":")
    return f"{year}-{month}-{day}T{hour}:{minute}:{second}{zone}"
