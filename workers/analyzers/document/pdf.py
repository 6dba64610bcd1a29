"""
Looks into PDF with pikepdf: actions, scripts, embedded files, forms, links.

It walks from the catalogue, so that a finding says where it is, then through the
objects that nothing refers to. It renders nothing and runs nothing.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import pikepdf

from workers import Unsupported
from workers.analyzers.document.facts import PARSER_ERRORS, Document
from workers.findings import clean

# qpdf logs what it repairs; a replica's log is no place for that.
logging.getLogger("pikepdf").setLevel(logging.CRITICAL)

_ERRORS = (*PARSER_ERRORS, pikepdf.PdfError, pikepdf.DataDecodingError)
#: Dictionaries and arrays that are looked at. Books have a tenth of it.
_MOST_NODES = 200_000
_MOST_UNREACHED = 50_000
_SCRIPT_BYTES = 1_000_000
_PATH_CHARACTERS = 200

#: Action types and the finding that each makes.
_ACTIONS = {
    "/JavaScript": "pdf_javascript",
    "/Launch": "pdf_launch",
    "/SubmitForm": "pdf_submit",
    "/ImportData": "pdf_submit",
    "/GoToR": "pdf_remote_goto",
    "/GoToE": "pdf_remote_goto",
    "/URI": "pdf_uri",
}
#: Where an action runs by itself: at opening, or as a script of the whole document.
_AUTOMATIC = ("/OpenAction", "/AA", "/Names/JavaScript")
_SUSPICIOUS_WORDS = (
    *("eval(", "unescape(", "exportDataObject", "getAnnots", "util.printf"),
    *("Collab.collectEmailInfo", "Collab.getIcon", "media.newPlayer", "spell."),
    *("String.fromCharCode", "app.launchURL", "submitForm", "importDataObject"),
)


@dataclass(slots=True)
class _Counts:
    objects: int = 0
    uris: int = 0
    scripts: int = 0
    embedded_files: list[str] = field(default_factory=list)


def read_pdf(path: str, document: Document) -> None:
    """
    Note what is remarkable in the PDF at *path*.

    Raises:
        Unsupported: No document can be made of its bytes.
    """
    try:
        pdf = pikepdf.open(path, suppress_warnings=True)
    except pikepdf.PasswordError:
        document.encrypted = True
        document.findings.add("encrypted", detail="a password is needed")
        return
    except _ERRORS as exc:
        raise Unsupported("not a PDF that can be read") from exc
    with pdf:
        _read(pdf, document)


def _read(pdf: pikepdf.Pdf, document: Document) -> None:
    if pdf.is_encrypted:
        document.encrypted = True
        document.findings.add("encrypted", detail="without a password to open")
    counts = _Counts()
    for where, node in _nodes(pdf, document):
        counts.objects += 1
        try:
            _judge(where, node, document, counts)
        except _ERRORS:
            document.findings.add("part_unreadable", where=where)
    document.pdf = {
        "version": clean(pdf.pdf_version, 16),
        "pages": _page_count(pdf),
        "objects": counts.objects,
        "scripts": counts.scripts,
        "uris": counts.uris,
        "embedded_files": counts.embedded_files[:50],
    }


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
                document.truncated = True
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
    if kind := _ACTIONS.get(action):
        document.findings.add(kind, where=place, name=_target(node))
        counts.uris += action == "/URI"
    if action == "/JavaScript":
        counts.scripts += 1
        _judge_script(where, node, document)
    if "/EF" in node:
        name = _plain(node.get("/UF", node.get("/F", "")))
        counts.embedded_files.append(name)
        document.findings.add("pdf_embedded_file", name=name, where=place)
    if "/XFA" in node:
        document.findings.add("pdf_xfa", where=place)
    if "/AcroForm" in node:
        document.findings.add("pdf_form", where=place)


def _judge_script(where: str, node: pikepdf.Object, document: Document) -> None:
    if where.startswith(_AUTOMATIC) or "/AA/O" in where:
        document.findings.add("pdf_javascript_on_open", where=where)
    source = _source(node.get("/JS"))
    for word in _SUSPICIOUS_WORDS:
        if word in source:
            name = word.rstrip("(.")
            document.findings.add("pdf_javascript_suspicious", name=name, where=where)


def _source(script: object) -> str:
    if isinstance(script, pikepdf.Stream):
        return script.read_bytes()[:_SCRIPT_BYTES].decode("latin-1")
    return str(script or "")[:_SCRIPT_BYTES]


def _target(node: pikepdf.Object) -> str | None:
    """What an action opens, where its entry for that is a plain string."""
    for name in ("/URI", "/F"):
        value = node.get(name)
        if isinstance(value, pikepdf.String):
            return _plain(value)
    return None


def _plain(value: object) -> str:
    return clean(str(value))
