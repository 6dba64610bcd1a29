"""
How far this host's clock is from the API's: for people, who compare times in logs and
in Flower. Nothing in Assay compares times of two hosts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

#: An HTTP date has no fractions: it may have been as much later.
_RESOLUTION = timedelta(seconds=1)


class Skew:
    """The last that was seen; written by one thread, read by any."""

    def __init__(self) -> None:
        #: Positive: ahead of the API. What is not certain is 0; ``None``: not yet seen.
        self.seconds: float | None = None

    def note(self, date: str | None, *, asked: datetime, answered: datetime) -> None:
        """
        Args:
            date: The header ``Date`` of an answer.
            asked: By our own clock, as *answered*: its moment lies between the two.
        """
        try:
            theirs = parsedate_to_datetime(date or "")
        except ValueError:
            return
        if theirs.tzinfo is None:
            theirs = theirs.replace(tzinfo=UTC)
        ahead = asked - (theirs + _RESOLUTION)
        behind = theirs - answered
        certain = max(ahead, behind, timedelta()).total_seconds()
        self.seconds = certain if ahead > behind else -certain
