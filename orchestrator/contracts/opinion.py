"""
How the API asks ``python -m workers classify`` what a file looks like: the packets of a
socket between both.

Owns their form. What a label means to Assay it does not say. Standard library only: the
process that answers is small.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

#: Bytes from each end of a file that are sent; Magika reads no more.
END_BYTES = 4096
#: Of one packet, either way.
PACKET_MAX_BYTES = 16 * 1024
#: The first packet of the process: it is shut in and answers from now on. What this
#: machine lacks of its walls follows, a line each.
READY = b"ready"
#: The first packet of one that cannot; why follows.
FAILED = b"failed"

_QUESTION = struct.Struct("!I")
_ANSWER = struct.Struct("!If")


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """``number``: the answer carries it. ``content``: both ends of a file."""

    number: int
    content: bytes

    def packed(self) -> bytes:
        """Return it as a packet."""
        return _QUESTION.pack(self.number) + self.content

    @classmethod
    def of(cls, packet: bytes) -> Question:
        """Read a packet."""
        number = _QUESTION.unpack_from(packet)[0]
        return cls(number=number, content=packet[_QUESTION.size :])


@dataclass(frozen=True, kw_only=True, slots=True)
class Opinion:
    """
    What a file looks like.

    ``label``: as Magika names kinds; nothing where it has no opinion. ``score``: from 0
    to 1, how sure it is.
    """

    number: int
    label: str
    score: float

    def packed(self) -> bytes:
        """Return it as a packet."""
        return _ANSWER.pack(self.number, self.score) + self.label.encode()

    @classmethod
    def of(cls, packet: bytes) -> Opinion | None:
        """Read a packet; nothing if it is none: its writer has seen a sample."""
        if len(packet) < _ANSWER.size:
            return None
        number, score = _ANSWER.unpack_from(packet)
        label = packet[_ANSWER.size :].decode("ascii", "replace")
        # What is no number at all is not between two either.
        if not 0 <= score <= 1:
            return None
        return cls(number=number, label=label, score=score)


def both_ends(head: bytes, tail: bytes, size: int) -> bytes:
    """Return what is sent of a file of *size* bytes."""
    if size <= END_BYTES:
        return head[:END_BYTES]
    return head[:END_BYTES] + tail[-END_BYTES:]
