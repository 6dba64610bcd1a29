"""Which part of a file is asked for, and of which file none."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest

from orchestrator.catalog.ranges import (
    DISTINCT_MIN,
    SIZE_MIN,
    Part,
    distinct_runs,
    find_part,
)

MEBIBYTE = 1024 * 1024
NOISE = random.Random(1).randbytes(MEBIBYTE)
WORDS = [NOISE[at : at + 3].hex() for at in range(0, 30_000, 3)]

#: What somebody who has only the size of a file may try.
PATTERNS: dict[str, bytes] = {
    "zeros": b"\0",
    "ones": b"\xff",
    "two bytes": b"ab",
    "a line": b"echo hello\n",
    "every byte": bytes(range(256)),
    "an empty sector": bytes(510) + b"\x55\xaa",
}


class File:
    """A file that says how much of it was read."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.read_bytes = 0

    def read(self, offset: int, length: int) -> bytes:
        assert 0 < length <= 64 * 1024
        assert offset + length <= len(self.content)
        self.read_bytes += length
        return self.content[offset : offset + length]

    def find(self, seed: int = 0) -> Part | None:
        return find_part(
            len(self.content), read=self.read, below=random.Random(seed).randrange
        )


def filled(pattern: bytes, size: int) -> bytes:
    return (pattern * (size // len(pattern) + 1))[:size]


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS.keys())
@pytest.mark.parametrize("size", [SIZE_MIN, 100_000, MEBIBYTE, 3 * MEBIBYTE])
def test_of_what_can_be_guessed_no_part_is_asked_for(pattern: bytes, size: int):
    assert File(filled(pattern, size)).find() is None


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS.keys())
@pytest.mark.parametrize("at", [0, 65_000, 300_000, 510_000])
def test_three_kilobytes_within_a_pattern_are_found_and_asked_for(
    pattern: bytes, at: int
):
    """Wherever they are: half of them may be in the next window."""
    size, island = 512 * 1024, NOISE[:3072]
    content = bytearray(filled(pattern, size))
    content[at : at + len(island)] = island
    content = content[:size]

    for seed in range(5):
        part = File(bytes(content)).find(seed)

        assert part is not None
        # A guess of the pattern alone is far from it.
        guessed = filled(pattern, len(part.content) + len(pattern))
        runs = distinct_runs(part.content + guessed) - distinct_runs(guessed)
        assert runs >= DISTINCT_MIN // 2


@pytest.mark.parametrize(
    "make",
    [
        lambda size: NOISE[:size],
        lambda size: " ".join(WORDS).encode()[:size],
        lambda size: NOISE[: size // 2] + bytes(size - size // 2),
    ],
    ids=["noise", "text", "padded"],
)
@pytest.mark.parametrize("size", [SIZE_MIN, 2048, 5000, 40_000])
def test_a_part_lies_within_the_file_and_is_never_all_of_it(
    make: Callable[[int], bytes], size: int
):
    content = make(size)

    for seed in range(40):
        part = File(content).find(seed)

        assert part is not None
        assert 512 <= len(part.content) <= min(16 * 1024, size // 2)
        assert content[part.offset :].startswith(part.content)
        assert distinct_runs(part.content) >= DISTINCT_MIN


def test_what_is_too_small_is_not_even_read():
    file = File(NOISE[: SIZE_MIN - 1])

    assert file.find() is None
    assert file.read_bytes == 0


def test_parts_differ_and_come_from_everywhere():
    parts = [File(NOISE).find(seed) for seed in range(60)]

    places = {part.offset // (MEBIBYTE // 4) for part in parts if part}
    assert len({part.offset for part in parts if part}) > 50
    assert places == {0, 1, 2, 3}


@pytest.mark.parametrize("content", [b"\0", NOISE], ids=["zeros", "noise"])
def test_of_a_quarter_of_a_gigabyte_little_is_read(content: bytes):
    asked = itertools.count()
    size = 256 * MEBIBYTE

    def read(offset: int, length: int) -> bytes:
        assert offset + length <= size
        next(asked)
        return filled(content, length)

    find_part(size, read=read, below=random.Random(0).randrange)

    assert next(asked) <= 8


def test_numbers_stay_within_what_the_contract_can_say():
    offsets: list[int] = []

    def read(offset: int, length: int) -> bytes:
        offsets.append(offset)
        return NOISE[:length]

    for seed in range(20):
        part = find_part(2**40, read=read, below=random.Random(seed).randrange)
        assert part is not None
        assert part.offset + len(part.content) <= 2**31
    assert max(offsets) > 2**30
