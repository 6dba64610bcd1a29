"""
The order in which kinds are asked for: what starts the file decides, text comes last.
"""

from __future__ import annotations

from orchestrator.classify.documents import find_document, find_late_pdf
from orchestrator.classify.ends import Ends
from orchestrator.classify.executables import find_executable
from orchestrator.classify.kinds import kind
from orchestrator.classify.magics import find_by_magic
from orchestrator.classify.mail import find_mail
from orchestrator.classify.markup import find_markup
from orchestrator.classify.ole import find_compound_file
from orchestrator.classify.plain import find_form, find_table
from orchestrator.classify.scripts import find_by_first_line, find_script
from orchestrator.classify.texts import decoded
from orchestrator.classify.zips import find_archive_of_parts
from orchestrator.contracts.assignment import Classification

#: Bump it with every change of what :func:`classify` answers.
CLASSIFIER_VERSION = "2"

_FIRST_LINE_BYTES = 256


def classify(head: bytes, tail: bytes, size: int) -> Classification:
    """
    Say what kind of file this is.

    Args:
        head: Its first bytes, some 40 KiB; all of them if it is smaller.
        tail: Its last bytes, some 64 KiB.
        size: Bytes in all.

    Returns:
        Type ``unknown`` where nothing fits; ``empty`` for no bytes at all.
    """
    if size == 0:
        return Classification(type="empty", mime_type="application/x-empty")
    ends = Ends(head, tail, size)
    return (
        find_executable(ends)
        or find_archive_of_parts(ends)
        or find_compound_file(ends)
        or find_document(head)
        or find_by_magic(ends)
        or find_late_pdf(ends)
        or _textual(head)
        or Classification()
    )


def _textual(head: bytes) -> Classification | None:
    text = decoded(head)
    if text is None:
        # A script may unpack what follows its last line.
        return find_by_first_line(head[:_FIRST_LINE_BYTES].decode("latin-1"))
    return (
        find_by_first_line(text)
        or find_markup(text)
        or find_form(text)
        or find_mail(text)
        or find_script(text)
        or find_table(text)
        or kind("text", "text", "text/plain")
    )
