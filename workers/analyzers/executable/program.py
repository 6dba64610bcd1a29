"""
What the analyzer ``executable`` knows of a program, whatever its format.

Plain values: each reader fills them from LIEF's objects, and the judgement sees only
them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from workers.entropy import shannon
from workers.findings import clean

#: Names from a program may be a megabyte of anything.
_NAME_CHARACTERS = 128
_OVERLAY_SAMPLE = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A section (a segment, where a program has no sections)."""

    name: str
    address: int
    virtual_size: int
    file_offset: int
    file_size: int
    entropy: float
    readable: bool
    writable: bool
    executable: bool
    sha256: str | None = None

    def holds(self, address: int) -> bool:
        """Whether *address* is within it once it is loaded."""
        size = max(self.virtual_size, self.file_size)
        return self.address <= address < self.address + size


@dataclass(frozen=True, kw_only=True, slots=True)
class Import:
    """A function that the program takes from a library; the library may be unknown."""

    library: str
    function: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlay:
    """Bytes behind everything that the headers describe."""

    offset: int
    size: int
    entropy: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Signer:
    """Who signed a program, as its certificate says; all three may be empty."""

    name: str
    subject: str
    issuer: str


@dataclass(kw_only=True, slots=True)
class Program:
    """
    One program. Addresses are virtual; ``entry_point`` is ``None`` where there is none.

    ``timestamp``: seconds since 1970 as the header says, which may be a lie or a hash.
    ``imports_matter``: a program of this kind is expected to import something.
    ``sections_overlap``: they hold the same bytes many times over.
    ``version_info``, ``debug_path`` and ``signers`` are the author's word.
    """

    format: str
    machine: str
    kind: str
    bits: int
    entry_point: int | None = None
    timestamp: int | None = None
    imphash: str | None = None
    interpreter: str | None = None
    signed: bool = False
    position_independent: bool = False
    stripped: bool | None = None
    executable_stack: bool = False
    sections_missing: bool = False
    imports_matter: bool = False
    sections_overlap: bool = False
    sections_unmeasured: int = 0
    tls_callbacks: int = 0
    debug_path: str | None = None
    overlay: Overlay | None = None
    slices: list[str] = field(default_factory=list)
    libraries: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    exports: list[str] = field(default_factory=list)
    version_info: dict[str, str] = field(default_factory=dict)
    signers: list[Signer] = field(default_factory=list)


def name_of(value: Any) -> str:
    """Readable text of a name or of a member of one of LIEF's enumerations."""
    if isinstance(value, str | bytes):
        return clean(value, _NAME_CHARACTERS)
    return clean(str(getattr(value, "name", value)), _NAME_CHARACTERS)


def overlay_of(data: memoryview | bytes, *, file_size: int) -> Overlay | None:
    """Describe the bytes at the end of a file; ``None`` where there are none."""
    if not len(data):
        return None
    counts = Counter(bytes(data[:_OVERLAY_SAMPLE]))
    return Overlay(
        offset=max(0, file_size - len(data)),
        size=len(data),
        entropy=shannon(counts.values()),
    )
