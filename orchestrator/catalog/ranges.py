"""
Which part of a file to ask for, so that only who has the file can answer.

Much of many files can be guessed: padding, tables of zeros, a pattern again and again.
A part is asked for only if enough of it is unlike the rest of it. Whatever the size of
the file, little of it is read; where nothing is found there, nothing is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

#: Bytes. Below this, half of a file is too little to prove anything by.
SIZE_MIN = 1024
_LENGTH_MIN = 512
#: More of it would prove no more.
_LENGTH_MAX = 16 * 1024

#: Of different runs of four bytes in a part. Random bytes have as many as bytes, text
#: about half, padding one; a row of all byte values, over and over, has 256.
DISTINCT_MIN = 300
_RUN_BYTES = 4

_WINDOW_BYTES = 64 * 1024
#: A file up to this size is looked through whole; of a larger one so many windows: both
#: ends, where the content of a padded file is, and some in between.
_WHOLE_BYTES = 1024 * 1024
_WINDOWS = 8
_TRIES = 12
#: The contract's numbers have 31 bits.
_OFFSET_MAX = 2**31 - 1

#: *length* bytes from *offset* on.
Read = Callable[[int, int], bytes]
#: A random number from 0 up to, and without, the one given.
Below = Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a file: where it begins, and what is there."""

    offset: int
    content: bytes


def find_part(size: int, *, read: Read, below: Below) -> Part | None:
    """
    Return a random part that nobody guesses, ``None`` if none was found.

    Args:
        size: Of the file, in bytes.
        read: Asked for at most a megabyte in all, 64 KiB at a time.
        below: Unpredictable.
    """
    if size < SIZE_MIN:
        return None
    for offset, length in _windows(min(size, _OFFSET_MAX), below):
        content = read(offset, length)
        # Never all of it: everybody knows the hash of the whole.
        longest = min(size // 2, _LENGTH_MAX, len(content))
        found = _part_of(content, longest, below)
        if found is not None:
            return Part(offset + found.offset, found.content)
    return None


def distinct_runs(content: bytes) -> int:
    """Return how many different runs of four bytes there are."""
    runs = range(len(content) - _RUN_BYTES + 1)
    return len({content[at : at + _RUN_BYTES] for at in runs})


def _windows(size: int, below: Below) -> Iterator[tuple[int, int]]:
    if size <= _WHOLE_BYTES:
        offsets = list(range(0, size, _WINDOW_BYTES))
    else:
        last = size - _WINDOW_BYTES
        offsets = [0, last, *(below(last + 1) for _ in range(_WINDOWS - 2))]
    while offsets:
        offset = offsets.pop(below(len(offsets)))
        yield offset, min(_WINDOW_BYTES, size - offset)


def _part_of(content: bytes, longest: int, below: Below) -> Part | None:
    if longest < _LENGTH_MIN or distinct_runs(content) < DISTINCT_MIN:
        return None
    for _ in range(_TRIES):
        length = _LENGTH_MIN + below(longest - _LENGTH_MIN + 1)
        offset = below(len(content) - length + 1)
        part = content[offset : offset + length]
        if distinct_runs(part) >= DISTINCT_MIN:
            return Part(offset, part)
    return _around_the_richest(content, longest, below)


def _around_the_richest(content: bytes, longest: int, below: Below) -> Part | None:
    blocks = range(0, len(content), _LENGTH_MIN)
    richest = max(blocks, key=lambda at: distinct_runs(content[at : at + _LENGTH_MIN]))
    first = max(0, richest + _LENGTH_MIN - longest)
    last = min(richest, len(content) - longest)
    offset = first + below(max(last - first, 0) + 1)
    part = content[offset : offset + longest]
    return Part(offset, part) if distinct_runs(part) >= DISTINCT_MIN else None
