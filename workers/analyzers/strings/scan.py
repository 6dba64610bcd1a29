"""
Reads a sample in bounded memory: in pieces that cut no string, and its entropy.

Does not interpret what the strings say; ``indicators`` does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from workers.entropy import shannon

#: Bytes that are looked at: ten seconds or so of text at the measured 3 MB/s. The
#: largest sample would need most of the run time, and its second half is rarely news.
SCAN_BYTES = 32 * 1024 * 1024
#: Entropy is also measured per block, to find packed parts of an otherwise plain file.
BLOCK_BYTES = 64 * 1024

_CHUNK_BYTES = 16 * BLOCK_BYTES
#: The longest unfinished string that is carried over to the next piece.
_CARRY_BYTES = 64 * 1024
_PRINTABLE = bytes([*range(0x20, 0x7F), 0x09])
_CARRIED = _PRINTABLE + b"\0"
_ASCII_RUN = re.compile(rb"[\x20-\x7e\t]{6,}")
_UTF16_RUN = re.compile(rb"(?:[\x20-\x7e]\x00){6,}")


@dataclass(slots=True)
class RunStatistics:
    """Count, total and longest of one kind of string, in characters."""

    count: int = 0
    total: int = 0
    longest: int = 0

    def add(self, characters: int) -> None:
        """Count one string."""
        self.count += 1
        self.total += characters
        self.longest = max(self.longest, characters)


@dataclass(slots=True)
class Entropy:
    """Shannon entropy in bits per byte, of everything and of the highest block."""

    histogram: Counter[int] = field(default_factory=Counter)
    highest: float = 0.0
    highest_offset: int = 0

    def add(self, chunk: bytes, offset: int) -> None:
        """Count *chunk*, which starts at *offset*, block by block."""
        for start in range(0, len(chunk), BLOCK_BYTES):
            counts = Counter(chunk[start : start + BLOCK_BYTES])
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
            narrow = _ASCII_RUN.findall(piece)
            wide = [run[::2] for run in _UTF16_RUN.findall(piece)]
            for runs, statistics in ((narrow, self.ascii), (wide, self.utf16)):
                for run in runs:
                    statistics.add(len(run))
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
