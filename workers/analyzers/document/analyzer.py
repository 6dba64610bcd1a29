"""
The bundled analyzer ``document``: what Office documents, RTF and PDF could do.

It goes by the leading bytes, not by the name. It names macros, actions, objects and
links to elsewhere; it renders nothing and follows nothing.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import replace
from typing import BinaryIO

from workers import Analysis, Sample, Unsupported, analyzer
from workers.analyzers.document.active_mime import projects_of_mime
from workers.analyzers.document.facts import KINDS, PARSER_ERRORS, Document
from workers.analyzers.document.flat_xml import is_office_xml, read_flat_xml
from workers.analyzers.document.lnk import LNK_MAGIC, read_lnk
from workers.analyzers.document.markup import decode
from workers.analyzers.document.odf import is_odf, read_odf
from workers.analyzers.document.ole import OLE_MAGIC, read_ole
from workers.analyzers.document.ooxml import CONTENT_TYPES, read_ooxml, read_package
from workers.analyzers.document.pdf import read_pdf
from workers.analyzers.document.rtf import read_rtf
from workers.analyzers.document.table_text import (
    find_table_dde,
    read_sylk,
    read_table,
)
from workers.analyzers.document.zip_parts import TooManyMembersError, open_package
from workers.findings import Findings, array, schema, strict

#: Documents are read into memory as a whole, and olevba copies them several times.
_MOST_BYTES = 128 * 1024 * 1024
#: A PDF header may stand behind other bytes; readers look this far.
_HEAD_BYTES = 1024
#: Of a web archive, or of any mail that Word may open as one.
_MIME = re.compile(
    r"^(?:mime-version|content-type|from|message-id):", re.IGNORECASE | re.MULTILINE
)
#: What stands between the cells of a line.
_CELLS = re.compile(r"[,;\t]")

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}

_SCHEMA = schema(
    {
        "format": {
            "enum": [
                "ooxml",
                "odf",
                "ole",
                "rtf",
                "pdf",
                "xml",
                "mht",
                "csv",
                "sylk",
                "lnk",
            ]
        },
        "encrypted": {"type": "boolean"},
        "macros": array(
            strict(
                {
                    "module": _TEXT,
                    "where": _TEXT,
                    "characters": _COUNT,
                    "lines": _COUNT,
                    "auto_exec": array(_TEXT),
                    "suspicious": array(_TEXT),
                    "indicators": array(_TEXT),
                }
            )
        ),
        "objects": array(
            strict(
                {
                    "class_name": _TEXT,
                    "file_name": _TEXT,
                    "size": _COUNT,
                    "where": _TEXT,
                }
            )
        ),
        "properties": {"type": "object", "additionalProperties": _TEXT},
        "relationships": array(strict({"type": _TEXT, "target": _TEXT, "part": _TEXT})),
        "pdf": {
            "anyOf": [
                {"type": "null"},
                strict(
                    {
                        "version": _TEXT,
                        "pages": {"type": ["integer", "null"]},
                        "objects": _COUNT,
                        "scripts": _COUNT,
                        "uris": _COUNT,
                        "embedded_files": array(_TEXT),
                    }
                ),
            ]
        },
    }
)


@analyzer(
    "document",
    version="3",
    # Not all of the super type: a web page is a document too, and none of ours.
    accepts=[
        *("ooxml", "odf", "ole", "msg", "msi", "rtf", "pdf", "xml"),
        *("mht", "csv", "slk", "lnk"),
    ],
    max_bytes=_MOST_BYTES,
    run_seconds=120,
    schema=_SCHEMA,
    title="Documents",
    description="Macros, actions, objects and links of Office, RTF, PDF and shortcuts.",
)
def document(sample: Sample) -> Analysis:
    """Read the document's structure and say what in it is active."""
    read = _read(sample)
    files = read.evidence.write(read.findings)
    analysis = read.findings.analysis(
        {
            "format": read.format,
            "encrypted": read.encrypted,
            "macros": read.macros,
            "objects": read.objects,
            "relationships": read.relationships,
            "pdf": read.pdf,
            "properties": read.properties,
        }
    )
    return replace(analysis, files=files)


def _read(sample: Sample) -> Document:
    with sample.open() as stream:
        head = stream.read(_HEAD_BYTES)
    findings = Findings(KINDS)
    if head.startswith(b"PK"):
        with sample.open() as stream:
            return _read_zip(stream, findings)
    if b"%PDF-" in head:
        document = Document("pdf", findings)
        read_pdf(sample.path, document)
    elif head.startswith(OLE_MAGIC[:4]):
        document = Document("ole", findings)
        package = read_ole(sample.path.read_bytes(), "", document)
        if package is not None:
            read_package(package, "EncryptedPackage", document)
    elif head.lstrip().startswith(b"{\\rt"):
        document = Document("rtf", findings)
        read_rtf(sample.path.read_bytes(), document)
    elif head.startswith(LNK_MAGIC):
        document = Document("lnk", findings)
        read_lnk(sample.path.read_bytes(), document)
    else:
        document = _read_text(sample.path.read_bytes(), findings)
    return document


def _read_zip(stream: BinaryIO, findings: Findings) -> Document:
    try:
        with open_package(stream) as archive:
            return _read_archive(archive, findings)
    except TooManyMembersError:
        document = Document("ooxml", findings)
        findings.cut("parts", "none of too many")
        findings.add("bomb", detail="too many members")
    except PARSER_ERRORS as exc:
        raise Unsupported("a ZIP archive that cannot be read") from exc
    return document


def _read_archive(archive: zipfile.ZipFile, findings: Findings) -> Document:
    """Read a package as what it is; as both kinds, if it would open as either."""
    has_types = CONTENT_TYPES.lower() in map(str.lower, archive.namelist())
    if not has_types and not is_odf(archive):
        raise Unsupported("a ZIP archive that is no Office document")
    document = Document("ooxml" if has_types else "odf", findings)
    if has_types:
        read_ooxml(archive, document)
    if is_odf(archive):
        read_odf(archive, document)
    return document


def _read_text(data: bytes, findings: Findings) -> Document:
    text = decode(data)
    start = text[:_HEAD_BYTES].lstrip()
    if _MIME.search(start):
        document = Document("mht", findings)
        for project in projects_of_mime(data, document):
            read_ole(project, "MIME part", document)
    elif start.startswith(("<?xml", "<?mso-application")) or is_office_xml(text):
        document = Document("xml", findings)
        read_flat_xml(text, document)
    elif start.startswith("ID;P"):
        document = Document("sylk", findings)
        read_sylk(text, document)
    elif _is_table(text):
        document = Document("csv", findings)
        read_table(text, document)
    else:
        raise Unsupported("not an Office document, RTF, PDF, table or shortcut")
    return document


def _is_table(text: str) -> bool:
    """Whether it is plain text in cells, or of one cell that asks a program."""
    if "\0" in text or "\N{REPLACEMENT CHARACTER}" in text:
        return False
    lines = [line for line in text[:_HEAD_BYTES].splitlines() if line.strip()]
    cells = min((len(_CELLS.findall(line)) for line in lines[:10]), default=0)
    return cells > 0 or find_table_dde(text) is not None
