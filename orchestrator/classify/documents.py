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

#: What Word takes for RTF; others write space before it.
_RTF = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n\0]{0,512}\{\\rt")


def find_document(ends: Ends) -> Classification | None:
    """Return whether a PDF or an RTF document begins here."""
    if _RTF.match(ends.head):
        return kind("rtf", "document", "application/rtf")
    if _FIRST_PDF_HEADER.match(ends.head) or _is_late_pdf(ends):
        return kind("pdf", "document", "application/pdf")
    return None


def _is_late_pdf(ends: Ends) -> bool:
    if not _PDF_HEADER.search(ends.head[:_PDF_HEADER_BYTES]):
        return False
    return _PDF_OBJECT.search(ends.head) is not None or any(map(ends.holds, _PDF_MARKS))
