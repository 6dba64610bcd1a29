"""
Reads a sample in bounded memory: in pieces that cut no string, and its entropy.

Does not interpret what the strings say; ``indicators`` does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from workers.entropy import shannon

#: Bytes that are looked at: two seconds or so at the measured 16 MB/s. The largest
#: sample would take ten, and its second half is rarely news.
SCAN_BYTES = 32 * 1024 * 1024
#: Entropy is also measured per block, to find packed parts of an otherwise plain file.
BLOCK_BYTES = 64 * 1024
#: Of larger samples every fifth byte is counted: counting is what costs most, and of a
#: block of noise it takes a fiftieth of a bit. Not every fourth: tables are of four.
COUNTED_BYTES = 4 * 1024 * 1024
_STRIDE = 5

_CHUNK_BYTES = 16 * BLOCK_BYTES
#: The longest unfinished string that is carried over to the next piece.
_CARRY_BYTES = 64 * 1024
_PRINTABLE = bytes([*range(0x20, 0x7F), 0x09])
_CARRIED = _PRINTABLE + b"\0"
#: Characters of the shortest string.
_SHORTEST = 6
#: Bytes become marks, so that a search for a fixed run of these finds the strings.
_PRINTS, _ELSE = b"p", b"n"
_NARROW = bytes(_PRINTS[0] if byte in _PRINTABLE else _ELSE[0] for byte in range(256))
_WIDE = bytes(
    0 if byte == 0 else _PRINTS[0] if 0x20 <= byte < 0x7F else _ELSE[0]  # noqa: PLR2004
    for byte in range(256)
)
_NARROW_RUN = re.compile(_PRINTS * _SHORTEST + rb"p*+")
_WIDE_RUN = re.compile((_PRINTS + rb"\0") * _SHORTEST + rb"(?:p\0)*+")


@dataclass(slots=True)
class RunStatistics:
    """Count, total and longest of one kind of string, in characters."""

    count: int = 0
    total: int = 0
    longest: int = 0

    def add(self, runs: Sequence[bytes]) -> None:
        """Count these strings."""
        lengths = list(map(len, runs))
        self.count += len(lengths)
        self.total += sum(lengths)
        self.longest = max(self.longest, max(lengths, default=0))


@dataclass(slots=True)
class Entropy:
    """Shannon entropy in bits per byte, of everything and of the highest block."""

    histogram: Counter[int] = field(default_factory=Counter)
    highest: float = 0.0
    highest_offset: int = 0
    stride: int = 1

    @classmethod
    def of(cls, size_bytes: int) -> Entropy:
        """Return one for a sample of that size: of a large one it counts a part."""
        return cls(stride=1 if size_bytes <= COUNTED_BYTES else _STRIDE)

    def add(self, chunk: bytes, offset: int) -> None:
        """Count *chunk*, which starts at *offset*, block by block."""
        for start in range(0, len(chunk), BLOCK_BYTES):
            counts = Counter(chunk[start : start + BLOCK_BYTES : self.stride])
            self.histogram.update(counts)
            bits = shannon(counts.values())
            if bits > self.highest:
                self.highest, self.highest_offset = bits, offset + start

    @property
    def overall(self) -> float:
        """Of all bytes counted so far."""
        return shannon(self.histogram.values())


@dataclass(slots=True)
class Scan:
    """What one pass over the first *limit_bytes* of a sample counts."""

    limit_bytes: int = SCAN_BYTES
    entropy: Entropy = field(default_factory=Entropy)
    ascii: RunStatistics = field(default_factory=RunStatistics)
    utf16: RunStatistics = field(default_factory=RunStatistics)
    scanned_bytes: int = 0

    def texts(self, stream: BinaryIO) -> Iterator[bytes]:
        """Yield the strings, many at a time, one a line: what may hold indicators."""
        for piece in self._pieces(stream):
            narrow = _runs(_NARROW_RUN, _NARROW, piece)
            wide = [run[::2] for run in _runs(_WIDE_RUN, _WIDE, piece)]
            for runs, statistics in ((narrow, self.ascii), (wide, self.utf16)):
                statistics.add(runs)
                if runs:
                    yield b"\n".join(runs)

    def _pieces(self, stream: BinaryIO) -> Iterator[bytes]:
        carry = b""
        while chunk := stream.read(
            min(_CHUNK_BYTES, self.limit_bytes - self.scanned_bytes)
        ):
            self.entropy.add(chunk, self.scanned_bytes)
            self.scanned_bytes += len(chunk)
            piece = carry + chunk
            cut = _cut(piece)
            carry = piece[cut:]
            yield piece[:cut]
        if carry:
            yield carry


def _runs(pattern: re.Pattern[bytes], marks: bytes, piece: bytes) -> list[bytes]:
    matches = pattern.finditer(piece.translate(marks))
    return [piece[match.start() : match.end()] for match in matches]


def _cut(piece: bytes) -> int:
    """Where to cut so that no string crosses, unless it is longer than the carry."""
    cut = len(piece.rstrip(_CARRIED))
    if len(piece) - cut <= _CARRY_BYTES:
        return cut
    # Zeros end strings of both kinds; a blank at least ends most indicators.
    since = len(piece) - _CARRY_BYTES
    zeros, blank = piece.rfind(b"\0\0\0", since), piece.rfind(b" ", since)
    if zeros >= 0:
        return zeros + 3
    return blank if blank >= 0 else len(piece)
