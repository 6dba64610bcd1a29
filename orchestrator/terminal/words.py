"""
How values read: ids, hashes, times, durations and sizes, the same in every command.

Prints nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from typing_extensions import override

from orchestrator.domain.words import spell_duration, spell_size

#: Ids grow with time: it is their ends that differ. A hash is known by its beginning.
_ID_END = 8
_HASH_BEGINNING = 12


@dataclass(frozen=True, slots=True)
class Exact:
    """
    Text of which nothing may be cut: an id, a time, an amount.

    ``short``: what a table on a terminal shows of it; enough to ask for it again.
    """

    whole: str
    short: str

    @override
    def __str__(self) -> str:
        return self.whole


def known_by_end(identity: str | None) -> Exact | None:
    """Return an id, which a table on a terminal shows by its end."""
    return None if identity is None else Exact(identity, identity[-_ID_END:])


def known_by_beginning(digest: str | None) -> Exact | None:
    """Return a hash, which a table on a terminal shows by its beginning."""
    return None if digest is None else Exact(digest, digest[:_HASH_BEGINNING])


def first_line(text: str | None) -> str | None:
    """Return the first line that says something."""
    return next((line for line in (text or "").splitlines() if line.strip()), None)


def moment(milliseconds: int | None) -> Exact | None:
    """Return a time of the API in UTC, to the second."""
    if milliseconds is None:
        return None
    text = f"{_utc(milliseconds):%Y-%m-%d %H:%M:%S}"
    return Exact(text, text)


def precise_moment(milliseconds: int | None) -> Exact | None:
    """Return a time of the API in UTC, to the millisecond."""
    if milliseconds is None:
        return None
    text = f"{moment(milliseconds)}.{milliseconds % 1000:03}"
    return Exact(text, text)


def time_between(start: int | None, end: int | None) -> Exact | None:
    """Return how long something took; both are milliseconds."""
    return None if start is None or end is None else duration((end - start) / 1000)


def duration(seconds: float) -> Exact:
    """Return how long something takes: two units at most."""
    text = spell_duration(seconds)
    return Exact(text, text)


def size(length_bytes: int) -> Exact:
    """Return a length as people compare it."""
    text = spell_size(length_bytes)
    return Exact(text, text)


def kind_line(kind: Mapping[str, Any], how: Mapping[str, Any]) -> str:
    """
    Say in one line what kind of file a sample is, and who says so.

    Args:
        kind: Its ``type``, ``superType`` and ``mimeType``.
        how: ``decidedBy`` and ``confidence``.
    """
    said = f"{kind['type']} ({kind['superType']}, {kind['mimeType']})"
    return f"{said}, by {how['decidedBy']}, {how['confidence'] * 100:.0f} % sure"


def _utc(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
