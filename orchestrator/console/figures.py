"""
The few numbers that say how the whole service does, each with its last hour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.console.sparks import Spark, spark
from orchestrator.console.spelling import amount
from orchestrator.domain.words import spell_duration
from orchestrator.queries.overview import Overview
from orchestrator.queries.pulse import Minute

_NOT_KNOWN: Final = "…"


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A number with its last hour; ``spark``: ``None`` while nobody knows one."""

    title: str
    value: str
    unit: str
    spark: Spark | None


def draw_figures(overview: Overview, minutes: Sequence[Minute]) -> list[Figure]:
    """Return what is shown above all else."""
    return [
        _rate("Tasks in", minutes, lambda minute: minute.enqueued),
        _rate("Tasks out", minutes, lambda minute: minute.ended),
        _rate("Failed or timed out", minutes, lambda minute: minute.failed),
        _oldest(overview, minutes),
        _slots(overview, minutes),
    ]


def _rate(
    title: str, minutes: Sequence[Minute], read: Callable[[Minute], float]
) -> Figure:
    values = [read(minute) for minute in minutes]
    return Figure(
        title=title,
        value=amount(values[-1]) if values else _NOT_KNOWN,
        unit="a minute",
        spark=spark(values, unit="a minute"),
    )


def _oldest(overview: Overview, minutes: Sequence[Minute]) -> Figure:
    workers = overview.measures.workers
    since = [at for each in workers if (at := each.oldest_enqueued_at) is not None]
    age = overview.measures.at - min(since) if since else None
    return Figure(
        title="Oldest open task",
        value="none" if age is None else spell_duration(age.total_seconds()),
        unit=f"{amount(sum(each.backlog for each in workers))} wait",
        spark=spark([minute.oldest_seconds for minute in minutes], unit="seconds"),
    )


def _slots(overview: Overview, minutes: Sequence[Minute]) -> Figure:
    workers = overview.measures.workers
    return Figure(
        title="Live slots",
        value=amount(sum(each.slots for each in workers)),
        unit=f"{amount(sum(each.executing for each in workers))} busy",
        spark=spark([minute.slots for minute in minutes], unit="slots"),
    )
