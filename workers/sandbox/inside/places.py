"""
Takes the folders of this machine out of what is told of a failure.

Where programs lie says nothing about a sample, and is nobody's business who reads of
one. Standard library only; it knows no folder but those that code is imported from.
"""

from __future__ import annotations

import sys
from pathlib import Path

#: The folder of the package that this is in: it may be imported by other means.
_OURS = str(Path(__file__).parents[3])


def without_places(text: str, *more: str) -> str:
    """Return *text* with paths told from where code, or one of *more*, lies."""
    # The longer ones first: one may lie in another.
    for place in sorted({*sys.path, *more, _OURS}, key=len, reverse=True):
        if place.strip("/"):
            text = text.replace(place.rstrip("/") + "/", "")
    return text
