"""
How a worker is, in a word and a sentence, and what to do: pure words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.console.spelling import age
from orchestrator.domain.words import spell_duration
from orchestrator.queries.diagnose import Level
from orchestrator.queries.overview import LOST_WITHIN, WorkerState

_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Saying:
    """``word``: what state it is in; ``level``: how bad; ``remedy``: what to do."""

    word: str
    level: Level
    sentence: str
    remedy: str | None = None


def describe(state: WorkerState, *, now: datetime) -> Sequence[Saying]:
    """Return what is to be said of a worker, its state first."""
    first = _state(state, now)
    return (first, *_troubles(state, now))


def _state(state: WorkerState, now: datetime) -> Saying:
    measures, name = state.measures, state.measures.short_name
    waiting = f"{measures.backlog:,} wait" if measures.backlog else "nothing waits"
    if measures.is_paused:
        remedy = f"assay worker resume {name}"
        return Saying("paused", Level.WARN, f"it takes nothing; {waiting}", remedy)
    if not measures.replicas:
        return _away(state, waiting, now)
    if measures.aside and len(measures.aside) >= measures.replicas:
        text = f"every replica stands aside; {waiting}"
        return Saying("aside", Level.FAIL, text)
    doing = f"{measures.executing} run, {waiting}"
    if not measures.published and not measures.backlog:
        return Saying("idle", Level.OK, "nothing to do")
    if measures.backlog and measures.published >= measures.window:
        full = f"its window of {measures.window} is full: {doing}"
        remedy = f"start another replica where that takes too long: {_start(name)}"
        return Saying("window full", Level.OK, full, remedy)
    return Saying("running", Level.OK, doing)


def _away(state: WorkerState, waiting: str, now: datetime) -> Saying:
    name = state.measures.short_name
    if not state.has_run:
        text = f"no replica of it has ever run; {waiting}"
        return Saying("never ran", Level.WARN, text, _start(name))
    since = state.nobody_home_since
    when = "" if since is None else f" since {age(since, now).removesuffix(' ago')}"
    level = Level.FAIL if state.measures.backlog else Level.WARN
    return Saying("nobody home", level, f"no replica{when}; {waiting}", _start(name))


def _troubles(state: WorkerState, now: datetime) -> Iterator[Saying]:
    measures = state.measures
    for one in measures.aside:
        since = spell_duration((now - one.since).total_seconds())
        text = f"{one.replica} stepped aside {since} ago: {one.why}"
        yield Saying("aside", Level.WARN, text, "it looks again by itself")
    if state.lost:
        times = sum(state.lost.values())
        why = ", ".join(f"{count} {reason}" for reason, count in state.lost.items())
        minutes = LOST_WITHIN.total_seconds() / _MINUTE
        text = f"{times} attempts in {minutes:.0f} min ({why})"
        yield Saying("losing attempts", Level.WARN, text, "see its log")
    if measures.poisoned:
        text = f"{measures.poisoned} samples are kept from it, which died of them"
        remedy = f"assay poison list, then assay poison clear {measures.short_name}"
        yield Saying("poison", Level.WARN, text, remedy)


def _start(name: str) -> str:
    return f"assay worker run {name}"
