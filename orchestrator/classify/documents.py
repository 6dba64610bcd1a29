"""
PDF and RTF, which begin where their readers find them.
"""

from __future__ import annotations

import re

from orchestrator.classify.ends import Ends
from orchestrator.classify.kinds import kind
from orchestrator.contracts.assignment import Classification

#: Readers look for the header of a PDF this far.
_PDF_HEADER_BYTES = 1024
_FIRST_PDF_HEADER = re.compile(rb"%PDF-(?! )")
#: In a program that writes PDF the header stands in quotes.
_PDF_HEADER = re.compile(rb"(?<![\"'`])%PDF-")
_PDF_OBJECT = re.compile(rb"\d[ \t\r\n]+\d{1,5}[ \t\r\n]+obj\b")
_PDF_MARKS = (b"trailer<<", b"startxref", b"%%EOF")

_PDF = kind("pdf", "document", "application/pdf")

#: What Word takes for RTF; others write space before it.
_RTF = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n\0]{0,512}\{\\rt")


def find_document(head: bytes) -> Classification | None:
    """Return whether the file begins as a PDF or an RTF document."""
    if _RTF.match(head):
        return kind("rtf", "document", "application/rtf")
    return _PDF if _FIRST_PDF_HEADER.match(head) else None


def find_late_pdf(ends: Ends) -> Classification | None:
    """Return whether a PDF begins further on, behind what is nothing of its own."""
    if not _PDF_HEADER.search(ends.head[:_PDF_HEADER_BYTES]):
        return None
    has_objects = _PDF_OBJECT.search(ends.head) is not None
    return _PDF if has_objects or any(map(ends.holds, _PDF_MARKS)) else None
