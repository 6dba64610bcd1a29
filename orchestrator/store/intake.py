"""
What passes on its way into the store: hashed as it comes, both ends kept, no more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.domain.errors import SampleTooLargeError

#: Bytes from both ends that classification looks at: a ZIP's directory is at its end.
HEAD_BYTES = 40 * 1024
TAIL_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Digests:
    """Lowercase hex digests and the size in bytes of what was received."""

    sha256: str
    sha512: str
    sha1: str
    md5: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What passed: its digests, and both ends of it."""

    digests: Digests
    head: bytes
    tail: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Received(Measured):
    """Bytes that have arrived whole, under a staging name."""

    staging: str


def measure(chunks: Iterable[bytes], *, limit_bytes: int) -> Measured:
    """
    Hash bytes as they come, and keep none of them but both ends.

    Raises:
        SampleTooLargeError: More than *limit_bytes* came.
    """
    intake = Intake(limit_bytes)
    for chunk in chunks:
        intake.take(chunk)
    return intake.measured()


class Intake:
    """Hashes what passes, and keeps both ends of it."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        # MD5 and SHA-1 are names that the field uses, not guarantees.
        self._hashes = {
            name: hashlib.new(name, usedforsecurity=False)
            for name in ("sha256", "sha512", "sha1", "md5")
        }
        self._size = 0
        self._head = b""
        self._tail = b""

    def take(self, chunk: bytes) -> None:
        """
        Take the next bytes.

        Raises:
            SampleTooLargeError: They are too many.
        """
        self._size += len(chunk)
        if self._size > self._limit_bytes:
            raise SampleTooLargeError(self._limit_bytes)
        for hasher in self._hashes.values():
            hasher.update(chunk)
        if len(self._head) < HEAD_BYTES:
            self._head = (self._head + chunk)[:HEAD_BYTES]
        self._tail = (self._tail + chunk[-TAIL_BYTES:])[-TAIL_BYTES:]

    def measured(self) -> Measured:
        """Return what has passed so far."""
        digests = {name: hasher.hexdigest() for name, hasher in self._hashes.items()}
        return Measured(
            digests=Digests(size=self._size, **digests),
            head=self._head,
            tail=self._tail,
        )

    def received(self, staging: str) -> Received:
        """Return what has passed, as it stands under a staging name."""
        whole = self.measured()
        return Received(
            digests=whole.digests, head=whole.head, tail=whole.tail, staging=staging
        )
