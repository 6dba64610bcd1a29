"""
The order in which kinds are asked for: what starts the file decides, text comes last;
and how sure the answer is. Where it is not, somebody else may be asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from orchestrator.classify.documents import find_document, find_late_pdf
from orchestrator.classify.ends import Ends
from orchestrator.classify.executables import find_executable
from orchestrator.classify.kinds import kind
from orchestrator.classify.labels import find_kind
from orchestrator.classify.magics import find_by_magic
from orchestrator.classify.mail import find_mail
from orchestrator.classify.markup import find_markup
from orchestrator.classify.ole import find_compound_file
from orchestrator.classify.plain import find_form, find_table
from orchestrator.classify.scripts import find_by_first_line, find_script
from orchestrator.classify.texts import decoded
from orchestrator.classify.zips import find_archive_of_parts
from orchestrator.contracts.assignment import Classification
from orchestrator.contracts.opinion import Opinion
from orchestrator.domain.values import Decider

#: Bump it with every change of what :func:`classify` answers.
CLASSIFIER_VERSION = "4"

#: From here on an opinion counts.
BELIEVED_SCORE = 0.8

#: How sure the rules are: of what has a form; of what merely has signs of a language or
#: rows of a table; of a text that is nothing else; of nothing.
_SURE, _BY_SIGNS, _BARE_TEXT, _NOT_AT_ALL = 1.0, 0.8, 0.5, 0.0

_FIRST_LINE_BYTES = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What kind of file it is, who says so, and how sure that is, from 0 to 1."""

    kind: Classification
    decided_by: Decider
    confidence: float


class Asked(Protocol):
    """Who is asked where the rules are not sure."""

    def ask(self, head: bytes, tail: bytes, size: int) -> Opinion | None:
        """Return what a file looks like; nothing if nobody says so in time."""


def decide(
    head: bytes, tail: bytes, size: int, *, asked: Asked | None = None
) -> Decision:
    """
    Say what kind of file this is, and how sure that is.

    Args:
        head: Its first bytes, some 40 KiB; all of them if it is smaller.
        tail: Its last bytes, some 64 KiB.
        size: Bytes in all.
        asked: Who is asked where the rules say text or unknown; nobody without.
    """
    found, confidence = _by_rules(head, tail, size)
    ours = Decision(kind=found, decided_by=Decider.RULES, confidence=confidence)
    if asked is None or confidence > _BARE_TEXT:
        return ours
    opinion = asked.ask(head, tail, size)
    if opinion is None or opinion.score < BELIEVED_SCORE:
        return ours
    theirs = find_kind(opinion.label, is_text=found.type == "text")
    if theirs is None:
        return ours
    return Decision(kind=theirs, decided_by=Decider.MAGIKA, confidence=opinion.score)


def classify(head: bytes, tail: bytes, size: int) -> Classification:
    """
    Say what kind of file this is by the rules alone; the arguments as of ``decide``.

    Returns:
        Type ``unknown`` where nothing fits; ``empty`` for no bytes at all.
    """
    return _by_rules(head, tail, size)[0]


def _by_rules(head: bytes, tail: bytes, size: int) -> tuple[Classification, float]:
    if size == 0:
        return Classification(type="empty", mime_type="application/x-empty"), _SURE
    ends = Ends(head, tail, size)
    found = (
        find_executable(ends)
        or find_archive_of_parts(ends)
        or find_compound_file(ends)
        or find_document(head)
        or find_by_magic(ends)
        or find_late_pdf(ends)
    )
    if found is not None:
        return found, _SURE
    return _textual(head) or (Classification(), _NOT_AT_ALL)


def _textual(head: bytes) -> tuple[Classification, float] | None:
    text = decoded(head)
    if text is None:
        # A script may unpack what follows its last line.
        script = find_by_first_line(head[:_FIRST_LINE_BYTES].decode("latin-1"))
        return None if script is None else (script, _SURE)
    formed = (
        find_by_first_line(text)
        or find_markup(text)
        or find_form(text)
        or find_mail(text)
    )
    if formed is not None:
        return formed, _SURE
    signed = find_script(text) or find_table(text)
    if signed is not None:
        return signed, _BY_SIGNS
    return kind("text", "text", "text/plain"), _BARE_TEXT
