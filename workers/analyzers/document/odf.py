"""
Looks into OpenDocument files: Basic modules, scripts, events, embedded objects.

XML is searched, not parsed, as in ``ooxml``.
"""

from __future__ import annotations

import re
import zipfile
from itertools import islice
from pathlib import PurePosixPath

from workers.analyzers.document.facts import PARSER_ERRORS, PART_BYTES, Document
from workers.findings import clean

MIME_TYPE = b"application/vnd.oasis.opendocument"

_MOST_PARTS = 5000
#: Lists of modules, not modules.
_INDEXES = frozenset({"script-lc.xml", "script-lb.xml"})
_EVENT = re.compile(
    r"<script:event-listener\b[^>]{0,1024}script:event-name=\"([^\"]{1,128})\""
)
_AUTOMATIC = ("load", "open", "start", "new")


def is_odf(archive: zipfile.ZipFile) -> bool:
    """Whether the first member says so, as every OpenDocument file's does."""
    names = archive.namelist()
    if "mimetype" not in names:
        return False
    with archive.open("mimetype") as stream:
        return stream.read(len(MIME_TYPE)) == MIME_TYPE


def read_odf(archive: zipfile.ZipFile, document: Document) -> None:
    """Note what is remarkable in an OpenDocument file."""
    for info in islice(archive.infolist(), _MOST_PARTS):
        path = PurePosixPath(info.filename)
        if info.is_dir():
            continue
        try:
            with archive.open(info) as stream:
                text = stream.read(PART_BYTES).decode("utf-8", "replace")
        except PARSER_ERRORS:
            document.findings.add("part_unreadable", where=info.filename)
            continue
        _judge_part(path, text, document)


def _judge_part(path: PurePosixPath, text: str, document: Document) -> None:
    where = str(path)
    if path.parts[0] in {"Basic", "Scripts"} and path.name not in _INDEXES:
        document.findings.add("macro", module=path.stem, where=where)
        row = {
            "module": clean(path.stem),
            "where": clean(where),
            "characters": len(text),
            "lines": text.count("\n"),
            "auto_exec": [],
            "suspicious": [],
            "indicators": [],
        }
        document.keep(document.macros, row)
    if where == "content.xml":
        for match in _EVENT.finditer(text):
            if any(word in match[1].lower() for word in _AUTOMATIC):
                document.findings.add("macro_auto_exec", name=match[1], where=where)
    if where == "META-INF/manifest.xml" and "<manifest:encryption-data" in text:
        document.encrypted = True
        document.findings.add("encrypted", where=where)
    if path.parts[0].startswith("Object ") and path.name == "content.xml":
        name = path.parts[0]
        document.findings.add("embedded_object", name=name, where=where)
