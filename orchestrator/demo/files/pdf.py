"""
Builds PDF files with a correct cross-reference table.

The script of the one with JavaScript shows a message and does nothing else.
"""

from __future__ import annotations

from orchestrator.demo.files.recipe import Recipe

_FILLER_LINE = 200


def pdf_plain(recipe: Recipe) -> bytes:
    """Build a page of text with a link."""
    return _pdf("<< /Type /Catalog /Pages 2 0 R >>", [], recipe)


def pdf_with_javascript(recipe: Recipe) -> bytes:
    """Build a page whose document runs JavaScript when it is opened."""
    catalog = "<< /Type /Catalog /Pages 2 0 R /OpenAction 7 0 R >>"
    message = _literal(f"Hello from {recipe.label}")
    script = _literal(f"app.alert{message};")
    action = f"<< /Type /Action /S /JavaScript /JS {script} >>"
    return _pdf(catalog, [action], recipe)


def _pdf(catalog: str, more: list[str], recipe: Recipe) -> bytes:
    text = f"BT /F1 18 Tf 72 720 Td {_literal('Demo page ' + recipe.label)} Tj ET"
    page = (
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        " /Resources << /Font << /F1 5 0 R >> >> /Annots [6 0 R] >>"
    )
    link = f"<< /S /URI /URI {_literal(recipe.urls[0])} >>"
    annotation = (
        "<< /Type /Annot /Subtype /Link /Rect [72 700 300 720] /Border [0 0 0]"
        f" /A {link} >>"
    )
    objects = [
        catalog,
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        page,
        f"<< /Length {len(text.encode())} >>\nstream\n{text}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        annotation,
        *more,
    ]
    return _document([item.encode() for item in objects], recipe.filler_text)


def _document(objects: list[bytes], filler: str) -> bytes:
    out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    for at in range(0, len(filler), _FILLER_LINE):
        out += f"% {filler[at : at + _FILLER_LINE]}\n".encode()
    offsets = []
    for number, item in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, item)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    count, start = len(objects) + 1, len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n%b" % (count, table)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n" % (count, start)
    return bytes(out + b"%%EOF\n")


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
    return f"({escaped})"
