"""
What an analyzer is given: one sample, as a file of its own.

Standard library only, as everything that a sandbox child imports.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from workers.analysis import JSON, Classification


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """
    One sample to look at.

    ``path``: where its bytes are while the analyzer runs; read-only.
    ``size``: bytes. ``file_name``: for display only, as whoever submitted it said.
    ``options``: ``{name: JSON}``, as given with the job or by the policy.
    """

    path: Path
    sha256: str
    size: int
    file_name: str | None = None
    classification: Classification = field(default_factory=Classification)
    options: Mapping[str, JSON] = field(default_factory=dict)

    def open(self) -> BinaryIO:
        """Open the sample for reading bytes."""
        return self.path.open("rb")
