"""
Looks into PDF with pikepdf: actions, scripts, embedded files, forms, links.

It walks from the catalogue, so that a finding says where it is, then through the
objects that nothing refers to; of a damaged file, ``pdf_raw`` searches the bytes. It
renders nothing and runs nothing.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pikepdf

from workers import Unsupported
from workers.analyzers.document.budget import PART_BYTES
from workers.analyzers.document.facts import PARSER_ERRORS, Document
from workers.analyzers.document.pdf_raw import RawScan, scan_pdf
from workers.analyzers.document.pdf_scripts import is_form_script, suspicious_words
from workers.analyzers.document.properties import note_pdf, note_xmp
from workers.findings import clean

# qpdf logs what it repairs; a replica's log is no place for that.
logging.getLogger("pikepdf").setLevel(logging.CRITICAL)
# One stream may not inflate without end; real ones have two filters at most.
pikepdf.settings.set_qpdf_limits(
    flate_max_memory=PART_BYTES,
    run_length_max_memory=PART_BYTES,
    png_max_memory=PART_BYTES,
    tiff_max_memory=PART_BYTES,
    max_stream_filters=4,
    doc_max_warnings=2000,
)

_ERRORS = (*PARSER_ERRORS, pikepdf.PdfError, pikepdf.DataDecodingError)
#: Dictionaries and arrays that are looked at. Books have a tenth of it.
_MOST_NODES = 200_000
_MOST_UNREACHED = 50_000
_NAMES_SHOWN = 50
_SCRIPT_BYTES = 1_000_000
_PATH_CHARACTERS = 200
#: Text packs to a twentieth.
_ABSURD_RATIO = 100

#: Action types and the finding that each makes.
_ACTIONS = {
    "/Launch": "pdf_launch",
    "/SubmitForm": "pdf_submit",
    "/ImportData": "pdf_submit",
    "/GoToR": "pdf_remote_goto",
    "/GoToE": "pdf_remote_goto",
    "/URI": "pdf_uri",
}
#: Where an action runs when the document is opened: as its own action, as a script of
#: the whole, and as a page or a note on it comes into sight. Printing is none of them.
_ON_OPEN = re.compile(
    r"(?:/OpenAction|/Names/JavaScript)(?:/|\Z)|/AA/(?:O|PO|PV)(?:/|\Z)"
)
#: LZW knows no limit in the library; what needs it is old and small.
_LZW_BYTES = 256 * 1024


@dataclass(slots=True)
class _Counts:
    objects: int = 0
    uris: int = 0
    scripts: int = 0
    embedded_files: list[str] = field(default_factory=list)


def read_pdf(path: Path, document: Document) -> None:
    """
    Note what is remarkable in the PDF at *path*.

    Raises:
        Unsupported: There is no object of a PDF in its bytes.
    """
    exceeded = pikepdf.settings.qpdf_limit_errors()
    try:
        pdf = pikepdf.open(path, suppress_warnings=True)
    except pikepdf.PasswordError:
        document.encrypted = True
        document.findings.add("encrypted", detail="a password is needed")
        return
    except _ERRORS as exc:
        if not _scan(path, document).objects:
            raise Unsupported("not a PDF that can be read") from exc
    else:
        with pdf:
            whole = _read(pdf, document)
            warnings = pdf.get_warnings()
            _judge_warnings(warnings, document)
            if not whole or warnings:
                _scan(path, document)
    if pikepdf.settings.qpdf_limit_errors() > exceeded:
        document.findings.add("bomb", detail="a stream exceeds the library's limits")
        document.findings.cut("a stream", "not unpacked")


def _judge_warnings(warnings: list[str], document: Document) -> None:
    """The library says nowhere else that a stream would not fit into memory."""
    if any("memory limit" in warning for warning in warnings):
        document.findings.add("bomb", detail="a stream unpacks to too much")
        document.findings.cut("a stream", "not unpacked")


def _scan(path: Path, document: Document) -> RawScan:
    scan = scan_pdf(path.read_bytes(), document)
    document.findings.add("pdf_damaged")
    if document.pdf is None:
        document.pdf = {
            "version": "",
            "pages": None,
            "objects": scan.objects,
            "scripts": scan.scripts,
            "uris": scan.uris,
            "embedded_files": [],
        }
    return scan


def _read(pdf: pikepdf.Pdf, document: Document) -> bool:
    """Whether its catalogue and its pages could be read."""
    if pdf.is_encrypted:
        document.encrypted = True
        document.findings.add("encrypted", detail="without a password to open")
    counts = _Counts()
    for where, node in _nodes(pdf, document):
        counts.objects += 1
        if document.budget.is_spent:
            document.stop_reading(where)
            break
        try:
            _judge(where, node, document, counts)
        except _ERRORS:
            document.findings.add("part_unreadable", where=where)
    pages = _page_count(pdf)
    _note_properties(pdf, document)
    if len(counts.embedded_files) > _NAMES_SHOWN:
        amount = f"{_NAMES_SHOWN} of {len(counts.embedded_files)}"
        document.findings.cut("embedded files", amount)
    document.pdf = {
        "version": clean(pdf.pdf_version, 16),
        "pages": pages,
        "objects": counts.objects,
        "scripts": counts.scripts,
        "uris": counts.uris,
        "embedded_files": counts.embedded_files[:_NAMES_SHOWN],
    }
    return bool(pages) and "part_unreadable" not in document.findings


def _note_properties(pdf: pikepdf.Pdf, document: Document) -> None:
    # Nobody needs them to read the document; a damaged one has none.
    with suppress(*_ERRORS):
        note_pdf(dict(pdf.docinfo.items()), document)
    with suppress(*_ERRORS):
        packet = pdf.Root.get("/Metadata")
        if isinstance(packet, pikepdf.Stream):
            note_xmp(_source(packet, document), document)


def _page_count(pdf: pikepdf.Pdf) -> int | None:
    try:
        return len(pdf.pages)
    except _ERRORS:
        return None


def _nodes(
    pdf: pikepdf.Pdf, document: Document
) -> Iterator[tuple[str, pikepdf.Object]]:
    """Yield every dictionary once, with its path; nearest to the catalogue first."""
    seen: set[tuple[int, int]] = set()
    try:
        yield from _walk("", pdf.Root, seen, document)
        unreached = [
            item
            for item in pdf.objects
            if _is_container(item) and item.objgen not in seen
        ]
    except _ERRORS:
        document.findings.add("part_unreadable", where="catalogue")
        return
    if len(unreached) > _MOST_UNREACHED:
        amount = f"{_MOST_UNREACHED} of {len(unreached)}"
        document.findings.cut("objects that nothing refers to", amount)
    for item in unreached[:_MOST_UNREACHED]:
        yield from _walk(f"object {item.objgen[0]}", item, seen, document)


def _walk(
    where: str,
    start: pikepdf.Object,
    seen: set[tuple[int, int]],
    document: Document,
) -> Iterator[tuple[str, pikepdf.Object]]:
    queue = deque([(where, start)])
    while queue:
        path, node = queue.popleft()
        if node.is_indirect:
            if node.objgen in seen:
                continue
            seen.add(node.objgen)
        if not isinstance(node, pikepdf.Array):
            yield path, node
        for name, child in _children(node):
            if len(seen) + len(queue) > _MOST_NODES:
                document.findings.cut("objects", f"{_MOST_NODES} of more")
                return
            if _is_container(child):
                queue.append((f"{path}{name}"[:_PATH_CHARACTERS], child))


def _children(node: pikepdf.Object) -> list[tuple[str, pikepdf.Object]]:
    try:
        if isinstance(node, pikepdf.Array):
            return [(f"/{number}", node[number]) for number in range(len(node))]
        names = [name for name in node.keys() if name != "/Parent"]  # noqa: SIM118
        return [(name, node[name]) for name in names]
    except _ERRORS:
        return []


def _is_container(item: object) -> bool:
    return isinstance(item, pikepdf.Dictionary | pikepdf.Array | pikepdf.Stream)


def _judge(
    where: str, node: pikepdf.Object, document: Document, counts: _Counts
) -> None:
    place = where or "catalogue"
    action = str(node.get("/S", ""))
    if "/JS" in node and action in {"", "/JavaScript", "/Rendition"}:
        action = "/JavaScript"
    if action == "/JavaScript":
        counts.scripts += 1
        _judge_script(where, node, document)
    elif kind := _ACTIONS.get(action):
        document.findings.add(kind, where=place, name=_target(node))
        counts.uris += action == "/URI"
    if "/EF" in node:
        name = _plain(node.get("/UF", node.get("/F", "")))
        counts.embedded_files.append(name)
        document.findings.add("pdf_embedded_file", name=name, where=place)
    if "/XFA" in node:
        document.findings.add("pdf_xfa", where=place)
    if "/AcroForm" in node:
        document.findings.add("pdf_form", where=place)


def _judge_script(where: str, node: pikepdf.Object, document: Document) -> None:
    place = where or "catalogue"
    source = _source(node.get("/JS"), document)
    if is_form_script(source):
        document.findings.add("pdf_form_script", where=place)
        return
    document.findings.add("pdf_javascript", where=place)
    document.evidence.add_script(source, place, document.findings)
    if _ON_OPEN.search(where):
        document.findings.add("pdf_javascript_on_open", where=place)
    for word in suspicious_words(source):
        document.findings.add("pdf_javascript_suspicious", name=word, where=place)


def _source(script: object, document: Document) -> str:
    if not isinstance(script, pikepdf.Stream):
        return str(script or "")[:_SCRIPT_BYTES]
    if (
        "LZW" in str(script.get("/Filter"))
        and len(script.read_raw_bytes()) > _LZW_BYTES
    ):
        raise ValueError("more than a script needs")
    source = script.read_bytes()
    packed = len(script.read_raw_bytes())
    if len(source) > _SCRIPT_BYTES and len(source) > _ABSURD_RATIO * packed:
        document.findings.add("bomb", detail=f"{len(source)} bytes of a script")
    if not document.budget.spend(len(source)):
        raise ValueError("more than there is left to spend")
    return source[:_SCRIPT_BYTES].decode("latin-1")


def _target(node: pikepdf.Object) -> str | None:
    """What an action opens, where its entry for that is a plain string."""
    for name in ("/URI", "/F"):
        value = node.get(name)
        if isinstance(value, pikepdf.String):
            return _plain(value)
    return None


def _plain(value: object) -> str:
    return clean(str(value))
