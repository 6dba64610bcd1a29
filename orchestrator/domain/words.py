"""
How values are spelled for people, on a terminal and on a page alike. It knows neither.
"""

from __future__ import annotations

from typing import Final

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_KIB = 1024
_UNITS: Final = ("KiB", "MiB", "GiB")


def shown(text: str, *, keep: str = "") -> str:
    """
    Return text that does nothing but be read: file names can hold anything, control
    characters and those that turn the direction of writing.

    Args:
        keep: Characters that stay all the same.
    """
    return "".join(
        char if char.isprintable() or char in keep else "\N{REPLACEMENT CHARACTER}"
        for char in text
    )


def spell_duration(seconds: float) -> str:
    """Return how long something takes: two units at most."""
    if round(seconds, 2) < _MINUTE:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def spell_size(length_bytes: int) -> str:
    """Return a length as people compare it."""
    if length_bytes < _KIB:
        return f"{length_bytes} byte{'' if length_bytes == 1 else 's'}"
    power = min((length_bytes.bit_length() - 1) // 10, len(_UNITS))
    return f"{length_bytes / _KIB**power:.1f} {_UNITS[power - 1]}"
