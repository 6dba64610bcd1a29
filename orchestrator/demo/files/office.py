"""
Builds Office documents: two with a macro, one with an embedded object.

The macro only shows a message, and the embedded object is a text file.
"""

from __future__ import annotations

import struct

from orchestrator.demo.files.archives import zip_of
from orchestrator.demo.files.compound_file import compound_file
from orchestrator.demo.files.recipe import Recipe
from orchestrator.demo.files.vba_project import vba_project

_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_DOCUMENT = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_MICROSOFT = "http://schemas.microsoft.com/office/2006/relationships"


def docm(recipe: Recipe) -> bytes:
    """Build a Word document (Office Open XML) with a macro project."""
    main = "application/vnd.ms-word.document.macroEnabled.main+xml"
    text = f"Demo document {recipe.label}: {recipe.urls[0]}"
    members = {
        "[Content_Types].xml": _xml(
            f'<Types xmlns="{_PACKAGE}/content-types">'
            '<Default Extension="rels" ContentType='
            '"application/vnd.openxmlformats-package.relationships+xml"/>'
            '<Default Extension="bin" ContentType='
            '"application/vnd.ms-office.vbaProject"/>'
            f'<Override PartName="/word/document.xml" ContentType="{main}"/></Types>'
        ),
        "_rels/.rels": _relationship(
            f"{_DOCUMENT}/officeDocument", "word/document.xml"
        ),
        "word/document.xml": _xml(
            f'<w:document xmlns:w="{_WORD}"><w:body><w:p><w:r>'
            f"<w:t>{_escaped(text)}</w:t></w:r></w:p></w:body></w:document>"
        ),
        "word/_rels/document.xml.rels": _relationship(
            f"{_MICROSOFT}/vbaProject", "vbaProject.bin"
        ),
        "word/vbaProject.bin": compound_file(
            vba_project(recipe.macro_name, f"Hello from {recipe.label}")
        ),
    }
    return zip_of(members, comment=recipe.filler_text.encode())


def doc(recipe: Recipe) -> bytes:
    """Build a legacy Word container (OLE) with a macro project."""
    # The first fields of Word 97's file information block; the text needs no more here.
    information = struct.pack("<4H", 0xA5EC, 0x00C1, 0, 0x0409)
    return compound_file(
        {
            "WordDocument": information.ljust(1472, b"\0") + recipe.label.encode(),
            "Macros": vba_project(recipe.macro_name, f"Hello from {recipe.label}"),
            "Filler": recipe.filler,
        }
    )


def rtf(recipe: Recipe) -> bytes:
    """Build a Rich Text document that embeds a text file as an OLE package."""
    data = _package("note.txt", f"A note of {recipe.label}\n".encode()).hex()
    lines = "\n".join(data[at : at + 64] for at in range(0, len(data), 64))
    return (
        r"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0 Arial;}}"
        f"\n\\f0\\fs24 Demo text {recipe.label} \\par\n"
        r"{\object\objemb{\*\objclass Package}{\*\objdata "
        f"\n{lines}\n}}}}\n{{\\*\\demofiller {recipe.filler_text}}}\n}}\n"
    ).encode("ascii", "replace")


def _package(name: str, content: bytes) -> bytes:
    """Wrap *content* as the OLE 1.0 object that Windows' Packager makes of a file."""
    file_name = name.encode() + b"\0"
    path = b"C:\\demo\\" + file_name
    native = struct.pack("<H", 2) + file_name + path
    native += struct.pack("<2I", 0x00030000, len(path)) + path
    native += struct.pack("<I", len(content)) + content
    class_name = b"Package\0"
    header = struct.pack("<3I", 0x0501, 2, len(class_name)) + class_name
    return header + struct.pack("<3I", 0, 0, len(native)) + native


def _relationship(kind: str, target: str) -> bytes:
    return _xml(
        f'<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{kind}" Target="{target}"/></Relationships>'
    )


def _xml(body: str) -> bytes:
    return (_XML + body).encode()


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
