"""
Takes the folders of this machine out of what is told of a failure.

Where programs lie says nothing about a sample, and is nobody's business who reads of
one. Standard library only; it knows no folder but those that code is imported from.
"""

from __future__ import annotations

import re
import sys
import traceback
from pathlib import Path

#: The folder of the package that this is in: it may be imported by other means.
_OURS = str(Path(__file__).parents[3])

#: What stands between an author's lines and whoever called them: ours, and Python's.
_SDK = str(Path(__file__).parents[2])
_ANALYZERS = f"{_SDK}/analyzers/"
_IMPORTING = ("<frozen importlib", "importlib/__init__.py")

#: Of a dumped stack, what every analysis has below the author's lines.
_DUMPED = re.compile(
    r'^  File "(workers/sandbox/inside/|<frozen runpy>).*\n?', re.MULTILINE
)

#: Frames of one traceback; an endless recursion has a thousand.
_FRAMES_MAX = 32


def told(error: BaseException, *more: str) -> tuple[str, str]:
    """
    Return what an exception says, and the author's lines that led to it.

    Args:
        more: Folders that are nobody's business, beside those that code is in.
    """
    head = "".join(traceback.format_exception_only(error)).strip()
    lines = "".join(traceback.format_list(_authors_frames(error)))
    return without_places(head, *more), without_places(lines).rstrip()


def _authors_frames(error: BaseException) -> list[traceback.FrameSummary]:
    frames = traceback.extract_tb(error.__traceback__, limit=-_FRAMES_MAX)
    return [frame for frame in frames if not _is_ours(frame.filename)]


def _is_ours(file: str) -> bool:
    is_sdk = file.startswith(f"{_SDK}/") and not file.startswith(_ANALYZERS)
    return is_sdk or any(part in file for part in _IMPORTING)


def without_places(text: str, *more: str) -> str:
    """Return *text* with paths told from where code, or one of *more*, lies."""
    # The longer ones first: one may lie in another.
    for place in sorted({*sys.path, *more, _OURS}, key=len, reverse=True):
        if place.strip("/"):
            text = text.replace(place.rstrip("/") + "/", "")
    return text


def without_ours(text: str) -> str:
    """Return the output of a child without our lines of the stack dumped at its end."""
    return _DUMPED.sub("", text)
