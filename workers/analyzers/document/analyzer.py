"""
The bundled analyzer ``document``: what Office documents, RTF and PDF could do.

It goes by the leading bytes, not by the name. It names macros, actions, objects and
links to elsewhere; it renders nothing and follows nothing.
"""

from __future__ import annotations

import zipfile

from workers import Analysis, Sample, Unsupported, analyzer
from workers.analyzers.document.facts import KINDS, PARSER_ERRORS, Document
from workers.analyzers.document.macros import read_macros
from workers.analyzers.document.odf import is_odf, read_odf
from workers.analyzers.document.ole import read_ole
from workers.analyzers.document.ooxml import CONTENT_TYPES, read_ooxml
from workers.analyzers.document.pdf import read_pdf
from workers.analyzers.document.rtf import read_rtf
from workers.findings import Findings, array, schema, strict

#: Documents are read into memory as a whole, and olevba copies them several times.
_MOST_BYTES = 128 * 1024 * 1024
#: A PDF header may stand behind other bytes; readers look this far.
_PDF_HEADER_BYTES = 1024
#: Namespaces of the XML in which Office keeps documents, macros included, in one file.
_XML_MARKS = (
    b"schemas.microsoft.com/office/word/2003/wordml",
    b"schemas.microsoft.com/office/2006/xmlPackage",
)

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}

_SCHEMA = schema(
    {
        "format": {"enum": ["ooxml", "odf", "ole", "rtf", "pdf", "xml", "mht"]},
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
    version="1",
    # Not all of the super type: a web page is a document too, and none of ours.
    accepts=["ooxml", "odf", "ole", "msg", "msi", "rtf", "pdf", "xml", "mht"],
    max_bytes=_MOST_BYTES,
    run_seconds=120,
    schema=_SCHEMA,
    title="Documents",
    description="Macros, actions, embedded objects and links of Office, RTF and PDF.",
)
def document(sample: Sample) -> Analysis:
    """Read the document's structure and say what in it is active."""
    read = _read(sample)
    return read.findings.analysis(
        {
            "format": read.format,
            "encrypted": read.encrypted,
            "macros": read.macros,
            "objects": read.objects,
            "relationships": read.relationships,
            "pdf": read.pdf,
            "truncated": read.truncated,
        }
    )


def _read(sample: Sample) -> Document:
    with sample.open() as stream:
        head = stream.read(_PDF_HEADER_BYTES)
    findings = Findings(KINDS)
    if head.startswith(b"PK"):
        return _read_zip(sample, findings)
    if b"%PDF-" in head:
        document = Document("pdf", findings)
        read_pdf(str(sample.path), document)
    elif head.startswith(b"\xd0\xcf\x11\xe0"):
        document = Document("ole", findings)
        read_ole(sample.path.read_bytes(), "", document)
    elif head.lstrip().startswith(b"{\\rt"):
        document = Document("rtf", findings)
        read_rtf(sample.path.read_bytes(), document)
    else:
        document = _read_text(sample, findings)
    return document


def _read_zip(sample: Sample, findings: Findings) -> Document:
    try:
        with sample.open() as stream, zipfile.ZipFile(stream) as archive:
            if is_odf(archive):
                document = Document("odf", findings)
                read_odf(archive, document)
                return document
            if CONTENT_TYPES not in archive.namelist():
                raise Unsupported("a ZIP archive that is no Office document")
            document = Document("ooxml", findings)
            read_ooxml(archive, document)
    except PARSER_ERRORS as exc:
        raise Unsupported("a ZIP archive that cannot be read") from exc
    return document


def _read_text(sample: Sample, findings: Findings) -> Document:
    data = sample.path.read_bytes()
    if b"multipart" in data.lower() and b"mime-version" in data[:4096].lower():
        document = Document("mht", findings)
        read_macros(data, "", document)
        return document
    if data[:_PDF_HEADER_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<?xml"):
        document = Document("xml", findings)
        if any(mark in data for mark in _XML_MARKS):
            read_macros(data, "", document)
        return document
    raise Unsupported("not an Office document, RTF or PDF")
