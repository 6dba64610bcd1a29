"""
What every builder of a demo file is given.

Values only; the builders decide where in their format each of them may go.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """
    The parts of the demo files that may differ from run to run.

    ``urls``: at least one. ``macro_name``: a VBA identifier. ``label``: a word that
    makes the content, and so the SHA-256, of this run its own. ``filler``: bytes that
    every format which has room for them carries without changing what it is.
    """

    urls: tuple[str, ...]
    macro_name: str
    label: str
    filler: bytes

    @property
    def filler_text(self) -> str:
        """The filler as printable ASCII of the same length."""
        return self.filler.hex()[: len(self.filler)]
