"""
What a list over everything is asked: keywords, and the period.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

from fastapi import Depends, Query

from orchestrator.api.http.storable import StorableText
from orchestrator.api.http.times import parse_time, whole_millisecond
from orchestrator.queries.keywords import Words
from orchestrator.queries.lists import Period

#: Characters and words. A search is for people; longer ones only cost.
_WORD_MAX = 256
_WORDS_MAX = 20

Keyword = Annotated[StorableText, Query(max_length=_WORD_MAX, min_length=1)]


#: Gives the period, once the moment is known from which relative times count.
ReadPeriod = Callable[[datetime], Period]


async def get_words(
    keywords: Annotated[list[Keyword] | None, Query(max_length=_WORDS_MAX)] = None,
    fields: Annotated[
        list[str] | None, Query(alias="keywordFieldStrategy", max_length=_WORDS_MAX)
    ] = None,
    match: Annotated[
        Literal["any", "all"], Query(alias="keywordMatchStrategy")
    ] = "any",
) -> Words:
    """Read the keywords of a list."""
    return Words(keywords=keywords or (), fields=fields or (), match_all=match == "all")


async def get_period(
    start: Annotated[str, Query(alias="indexStartTimestamp")] = "now - 1 month",
    end: Annotated[str, Query(alias="indexEndTimestamp")] = "now",
) -> ReadPeriod:
    """Read the period of a list; what is no time is said when it is asked for."""

    def read(now: datetime) -> Period:
        last = parse_time(end, now=now, field="indexEndTimestamp")
        return Period(
            start=parse_time(start, now=now, field="indexStartTimestamp"),
            end=whole_millisecond(last),
        )

    return read


WordsDep = Annotated[Words, Depends(get_words)]
PeriodDep = Annotated[ReadPeriod, Depends(get_period)]
