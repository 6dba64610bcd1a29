"""
Searches the bytes of a PDF that the library cannot read, or only mended.

Readers open what is damaged: names are looked for wherever they stand, in compressed
streams too, within a budget. It knows no objects, so it says less than ``pdf`` does.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from workers.analyzers.document.budget import PART_BYTES
from workers.analyzers.document.facts import Document
from workers.analyzers.document.pdf_scripts import suspicious_words

_MOST_STREAMS = 2000
#: Of all inflated streams together; objects are small, pictures are no text.
_INFLATED_BYTES = 2 * PART_BYTES
#: Drawings and fonts pack to a tenth; nothing but filler to a hundredth.
_ABSURD_RATIO = 100
_PIECE_BYTES = 64 * 1024
_STREAM = re.compile(rb"stream\r?\n")
_ESCAPED = re.compile(rb"#([0-9A-Fa-f]{2})")
_BLANK = rb"[\x00\t\n\f\r ]{0,64}"
_END = rb"(?![A-Za-z0-9_.\-])"
_URI = re.compile(rb"/S" + _BLANK + rb"/URI" + _END)
#: Kind of finding, and the name that makes it.
_NAMES = (
    ("pdf_javascript", re.compile(rb"/S" + _BLANK + rb"/JavaScript" + _END)),
    ("pdf_javascript", re.compile(rb"/JS" + _BLANK + rb"[(<\d]")),
    ("pdf_launch", re.compile(rb"/S" + _BLANK + rb"/Launch" + _END)),
    ("pdf_submit", re.compile(rb"/S" + _BLANK + rb"/(?:SubmitForm|ImportData)" + _END)),
    ("pdf_remote_goto", re.compile(rb"/S" + _BLANK + rb"/GoTo[RE]" + _END)),
    ("pdf_uri", _URI),
    ("pdf_embedded_file", re.compile(rb"/EmbeddedFile" + _END)),
    ("pdf_xfa", re.compile(rb"/XFA" + _END)),
    ("pdf_form", re.compile(rb"/AcroForm" + _END)),
)
_AUTOMATIC = re.compile(rb"/OpenAction" + _END)
_ENCRYPTED = re.compile(rb"/Encrypt" + _END)
_SCRIPT = re.compile(rb"/JS" + _BLANK + rb"\(")
_SCRIPT_BYTES = 64 * 1024
_MOST_SCRIPTS = 200


@dataclass(slots=True)
class RawScan:
    """What the bytes are made of: whether objects are among them, and how many."""

    objects: int = 0
    scripts: int = 0
    uris: int = 0


def scan_pdf(data: bytes, document: Document) -> RawScan:
    """Note what names in *data* say that is not a finding yet."""
    scan = RawScan()
    already = {kind for kind, _ in _NAMES if kind in document.findings}
    for where, text in _texts(data, document):
        scan.objects += max(0, text.count(b"obj") - text.count(b"endobj"))
        scan.objects += text.count(b"trailer")
        scan.uris += len(_URI.findall(text))
        for kind, pattern in _NAMES:
            if kind not in already and pattern.search(text):
                document.findings.add(kind, where=where)
        if "pdf_javascript" not in already:
            _judge_scripts(text, where, document, scan)
        if _ENCRYPTED.search(text):
            document.encrypted = True
            document.findings.add("encrypted", where=where)
    return scan


def _texts(data: bytes, document: Document) -> Iterator[tuple[str, bytes]]:
    yield "bytes", _plain_names(data)
    left = _INFLATED_BYTES
    for number, match in enumerate(_STREAM.finditer(data), start=1):
        if number > _MOST_STREAMS or left <= 0 or not document.budget.has_time():
            document.findings.cut("streams", f"{number - 1} of more")
            return
        if data[match.end() : match.end() + 1] not in {b"x", b"h", b"H", b"X", b"8"}:
            # A zlib stream begins with its window's size; pictures do not.
            continue
        text, size = _inflated(data, match.end(), left)
        left -= len(text)
        if len(text) >= PART_BYTES and len(text) > _ABSURD_RATIO * size:
            detail = f"{len(text)} bytes and more"
            document.findings.add("bomb", where=f"stream {number}", detail=detail)
        yield f"stream {number}", _plain_names(text)


def _inflated(data: bytes, at: int, limit: int) -> tuple[bytes, int]:
    """As much of a stream as can be had, and the bytes of the file that it took."""
    start = at
    inflater = zlib.decompressobj()
    inflated = bytearray()
    rest = b""
    while len(inflated) < limit and not inflater.eof and (rest or at < len(data)):
        if not rest:
            rest = data[at : at + _PIECE_BYTES]
            at += _PIECE_BYTES
        try:
            # In pieces: what was inflated before the damage is kept.
            inflated += inflater.decompress(rest, _PIECE_BYTES)
        except zlib.error:
            break
        rest = inflater.unconsumed_tail
    return bytes(inflated), at - start


def _plain_names(data: bytes) -> bytes:
    """With the letters of names that are written as numbers."""
    if b"#" not in data:
        return data
    return _ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode()), data)


def _judge_scripts(text: bytes, where: str, document: Document, scan: RawScan) -> None:
    for match in _SCRIPT.finditer(text):
        scan.scripts += 1
        if scan.scripts > _MOST_SCRIPTS:
            document.findings.cut("scripts", f"{_MOST_SCRIPTS} of more")
            return
        source = text[match.end() : match.end() + _SCRIPT_BYTES]
        source = source.partition(b"endobj")[0]
        code = source.decode("latin-1")
        document.evidence.add_script(code, where, document.findings)
        for word in suspicious_words(code):
            document.findings.add("pdf_javascript_suspicious", name=word, where=where)
    if _AUTOMATIC.search(text) and "pdf_javascript" in document.findings:
        document.findings.add("pdf_javascript_on_open", where=where)
