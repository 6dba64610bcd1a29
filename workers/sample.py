"""
What an analyzer is given: one sample, as a file of its own.

Standard library only, as everything that a sandbox child imports.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Generic

from workers.analysis import JSON, Classification

if TYPE_CHECKING:
    # The standard library's has no default before Python 3.13.
    from typing_extensions import TypeVar

    Options = TypeVar("Options", default=Mapping[str, JSON])
else:
    from typing import TypeVar

    Options = TypeVar("Options")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample(Generic[Options]):
    """
    One sample to look at.

    ``path``: where its bytes are while the analyzer runs; read-only.
    ``size``: bytes. ``file_name``: for display only, as whoever submitted it said.
    ``options``: ``{name: JSON}``, as given with the job or by the policy. An analyzer
    with ``options=Model`` is given an instance of that: it takes ``Sample[Model]``.
    """

    path: Path
    sha256: str
    size: int
    file_name: str | None = None
    classification: Classification = field(default_factory=Classification)
    # Of a model there is an instance in any case.
    options: Options = field(default_factory=dict)  # type: ignore[assignment]

    def open(self) -> BinaryIO:
        """Open the sample for reading bytes."""
        return self.path.open("rb")
