"""
Lines of the last hour, small enough for the eye alone: pure geometry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 240
HEIGHT: Final = 34
#: Of the height, for the line's own thickness.
_MARGIN: Final = 2


@dataclass(frozen=True, slots=True)
class Spark:
    """``line`` and ``area``: paths of an SVG; ``words``: the same, to be read out."""

    line: str
    area: str
    words: str


def spark(values: Sequence[float], *, unit: str) -> Spark | None:
    """Return the line of values, the newest last; ``None`` of fewer than two."""
    if len(values) <= 1:
        return None
    most = max(*values, 1e-9)
    step = WIDTH / (len(values) - 1)
    room = HEIGHT - 2 * _MARGIN
    points = [
        (round(place * step, 1), round(HEIGHT - _MARGIN - value / most * room, 1))
        for place, value in enumerate(values)
    ]
    line = "M" + "L".join(f"{x} {y}" for x, y in points)
    words = (
        f"last {len(values)} minutes: {min(values):.0f} to {max(values):.0f} {unit},"
        f" now {values[-1]:.0f}"
    )
    return Spark(line, f"{line}L{WIDTH} {HEIGHT}L0 {HEIGHT}Z", words)
