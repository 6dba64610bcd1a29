"""
What one document may cost in all: bytes that are unpacked, parts, processor time.

Containers spend from it before they read; it does not read anything itself. A document
that asks for more is cut there, and says so.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

#: Bytes of a part or stream that are looked at. Office's own stay far below; a part
#: that unpacks to more is a bomb.
PART_BYTES = 32 * 1024 * 1024
#: What all parts together may unpack to, embedded documents' included.
TOTAL_BYTES = 8 * PART_BYTES
#: Real packages of a thousand slides have a few thousand parts.
MOST_PARTS = 5000
#: Ordinary documents need a hundredth of it; the run time is 120 s of a busy machine.
CPU_SECONDS = 20.0
#: Characters of macros that are scanned, at some four seconds for a million. Real
#: projects rarely pass a tenth of it.
SOURCE_CHARACTERS = 1_000_000
#: Documents within documents: Office itself nests two or three.
MOST_DEPTH = 4


@dataclass(slots=True)
class Budget:
    """What is left for one document; *why* says what ran out, once something has."""

    bytes_left: int = TOTAL_BYTES
    parts_left: int = MOST_PARTS
    source_left: int = SOURCE_CHARACTERS
    why: str = ""
    depth: int = 0
    _ends_at: float = field(default_factory=lambda: time.process_time() + CPU_SECONDS)

    def spend(self, size: int) -> bool:
        """Take one part of *size* bytes; whether there was still enough for it."""
        self.parts_left -= 1
        self.bytes_left -= size
        if self.parts_left < 0:
            self.why = self.why or "too many parts"
        if self.bytes_left < 0:
            self.why = self.why or "too many bytes"
        return not self.is_spent

    def take_source(self, code: str) -> str:
        """Take as much of the source *code* of a macro as may still be scanned."""
        taken = code[: self.source_left] if self.has_time() else ""
        self.source_left -= len(taken)
        if len(taken) < len(code):
            self.why = self.why or "too much source code"
        return taken

    def has_time(self) -> bool:
        """Whether processor time is left; asked between steps that are bounded."""
        return time.process_time() <= self._ends_at

    @property
    def is_spent(self) -> bool:
        """Whether the document is not to be read any further."""
        return bool(self.why) or not self.has_time()

    @property
    def reason(self) -> str:
        """What ran out, for people."""
        if self.why or self.has_time():
            return self.why or "nested too deeply"
        return "too much processor time"
