"""
What a list over everything is asked: keywords, and the window of time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from fastapi import Depends, Query

from orchestrator.api.http.storable import PlainText
from orchestrator.api.http.times import parse_time, whole_millisecond
from orchestrator.queries.keywords import Words
from orchestrator.queries.lists import Window

#: Characters and words. A search is for people; longer ones only cost.
_WORD_MAX = 256
_WORDS_MAX = 20

Keyword = Annotated[PlainText, Query(max_length=_WORD_MAX, min_length=1)]


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowForm:
    """From when to when, as it was written."""

    start: str
    end: str

    def window(self, now: datetime) -> Window:
        """
        Return the window; relative times count from *now*.

        Raises:
            InvalidError: A time is none.
        """
        return Window(
            start=parse_time(self.start, now=now, field="indexStartTimestamp"),
            end=whole_millisecond(
                parse_time(self.end, now=now, field="indexEndTimestamp")
            ),
        )


def get_words(
    keywords: Annotated[list[Keyword] | None, Query(max_length=_WORDS_MAX)] = None,
    fields: Annotated[list[str] | None, Query(alias="keywordFieldStrategy")] = None,
    match: Annotated[
        Literal["any", "all"], Query(alias="keywordMatchStrategy")
    ] = "any",
) -> Words:
    """Read the keywords of a list."""
    return Words(keywords=keywords or (), fields=fields or (), match_all=match == "all")


def get_window_form(
    start: Annotated[str, Query(alias="indexStartTimestamp")] = "now - 1 month",
    end: Annotated[str, Query(alias="indexEndTimestamp")] = "now",
) -> WindowForm:
    """Read the window of a list."""
    return WindowForm(start=start, end=end)


WordsDep = Annotated[Words, Depends(get_words)]
WindowFormDep = Annotated[WindowForm, Depends(get_window_form)]
