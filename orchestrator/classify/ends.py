"""
The first and the last bytes of a file, read by their place in the whole.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ends:
    """What is seen of a file of ``size`` bytes; between head and tail may be a gap."""

    head: bytes
    tail: bytes
    size: int

    @property
    def tail_offset(self) -> int:
        """Where the tail begins in the whole file."""
        return max(0, self.size - len(self.tail))

    def parts(self) -> tuple[tuple[int, bytes], ...]:
        """Return what is seen as (offset, bytes): one part where no gap is."""
        overlap = len(self.head) - self.tail_offset
        if overlap >= 0:
            return ((0, self.head + self.tail[overlap:]),)
        return ((0, self.head), (self.tail_offset, self.tail))

    def at(self, offset: int, length: int) -> bytes:
        """Return at most *length* bytes from *offset*; none from what is not seen."""
        for start, data in self.parts():
            if start <= offset < start + len(data):
                return data[offset - start : offset - start + length]
        return b""

    def holds(self, mark: bytes) -> bool:
        """Say whether *mark* stands anywhere in what is seen."""
        return any(mark in data for _, data in self.parts())
