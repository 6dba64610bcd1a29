"""
Which language a script is in: by its first line, else by what its lines begin with.

Two different signs of one language are wanted, or one that hardly means anything else;
so that prose, logs, settings and data are none. It parses no language.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.classify.kinds import kind
from orchestrator.classify.languages import ENOUGH, LANGUAGES
from orchestrator.contracts.assignment import Classification

_FIRST_LINE = re.compile(r"#![ \t]*(?=[\w/])(.{1,256})")
#: (program of a first line, MIME type); the first that fits wins.
_PROGRAMS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), mime)
    for pattern, mime in (
        (r"\bpython|\bpypy", "text/x-python"),
        (r"\b(?:pwsh|powershell)", "text/x-powershell"),
        (r"\b(?:ba|da|z|k|a|fi|c|tc)?sh\b", "text/x-shellscript"),
        (r"\bperl", "text/x-perl"),
        (r"\bruby", "text/x-ruby"),
        (r"\bphp", "text/x-php"),
        (r"\b(?:node|nodejs|deno|bun)\b", "text/javascript"),
        (r"\blua", "text/x-lua"),
        (r"\b(?:tclsh|wish|expect)", "text/x-tcl"),
        (r"\b[gmn]?awk", "text/x-awk"),
        (r"\bosascript", "text/x-applescript"),
    )
)

#: Lines that are looked at, and how much of each.
_LINES = 100
_LINE_CHARACTERS = 200
#: So many lines of prose for one that shows a language make it a text about it.
_PROSE_LINES = 3

#: Lines that say nothing: comments, which licences fill.
_COMMENT = re.compile(r"\s*(?://|\*|/\*|#$|#+ (?!include|define|pragma)|')")
_FENCE = re.compile(r"\s{0,3}(?:```|~~~)")
_PROSE = re.compile(r"(?:[-*] )?[A-Z]?[a-z'-]+,?(?: [A-Za-z'-]+[,.:;]?){4,}$")


def find_by_first_line(text: str) -> Classification | None:
    """Return what a first line such as ``#!/bin/sh`` says."""
    first = _FIRST_LINE.match(text)
    if first is None:
        return None
    for program, mime in _PROGRAMS:
        if program.search(first.group(1)):
            return kind("script", "script", mime)
    return kind("script", "script", "text/x-script")


def find_script(text: str) -> Classification | None:
    """Return the language that most signs speak for, if they are enough."""
    lines = list(_telling_lines(text))
    small = [line.lower().strip() for line in lines]
    # Each line begins after a line end, the first too.
    small_text = "\n" + "\n".join(lines).lower()
    prose = sum(1 for line in lines if _PROSE.match(line))
    best, best_score = None, ENOUGH - 1
    for language in LANGUAGES:
        patterns, count = language.lines_that_show_it(
            small if language.any_case else lines
        )
        score = language.score(patterns, small_text)
        if score > best_score and prose <= _PROSE_LINES * (count + 1):
            best, best_score = language, score
    if best is None or best.mime_type is None:
        return None
    return kind("script", "script", best.mime_type)


def _telling_lines(text: str) -> Iterator[str]:
    """Yield lines with content, without comments and what a text quotes as code."""
    count, quoted = 0, False
    for line in text.split("\n"):
        if _FENCE.match(line):
            quoted = not quoted
        elif not quoted and line.strip() and not _COMMENT.match(line):
            yield line.rstrip()[:_LINE_CHARACTERS]
            count += 1
            if count == _LINES:
                return
