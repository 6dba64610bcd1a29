"""
How values are written on pages: times, spans, sizes, states. Templates know them as
filters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from orchestrator.domain.words import spell_duration, spell_size

#: Characters of a name in a table; the whole of it stands in its title.
NAME_MAX: Final = 80

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

#: The kinds of a state or a status, by which it has its colour; the word is beside it.
_TONES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("success", "done", "benign", "no_findings", "ok"), "good"),
    **dict.fromkeys(("failed", "malicious", "fail"), "bad"),
    **dict.fromkeys(("timeout", "suspicious", "warn"), "fair"),
    **dict.fromkeys(("executing", "running"), "busy"),
}
_SPOKEN: Final[Mapping[str, str]] = {"no_findings": "nothing found"}


def moment(value: datetime) -> str:
    """Return a time in UTC, to the second."""
    return f"{value:%Y-%m-%d %H:%M:%S}"


def exact(value: datetime) -> str:
    """Return a time in UTC, to the millisecond."""
    return f"{moment(value)}.{value.microsecond // 1000:03}"


def span(length: timedelta) -> str:
    """Return how long something took: two units at most."""
    return spell_duration(max(0.0, length.total_seconds()))


def age(value: datetime, now: datetime) -> str:
    """Return how long ago something was, roughly."""
    seconds = max(0, round((now - value).total_seconds()))
    if seconds < _MINUTE:
        return f"{seconds} s ago"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min ago"
    if seconds < _DAY:
        return f"{seconds // _HOUR} h ago"
    return f"{seconds // _DAY} d ago"


def tone(word: object) -> str:
    """Return of which kind a state or a status is."""
    return _TONES.get(str(word), "calm")


def spoken(word: object) -> str:
    """Return a word of the API as people read it."""
    return _SPOKEN.get(str(word), str(word).replace("_", " "))


def cut(text: str, most: int = NAME_MAX) -> str:
    """Return the beginning of a text that is too long."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def amount(number: float) -> str:
    """Return a number with its thousands apart."""
    return f"{number:,.0f}"


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "moment": moment,
    "exact": exact,
    "span": span,
    "lasting": spell_duration,
    "size": spell_size,
    "age": age,
    "tone": tone,
    "spoken": spoken,
    "cut": cut,
    "amount": amount,
}
