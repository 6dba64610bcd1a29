"""
Times as the API reads and writes them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.http.times import parse_time, to_millis
from orchestrator.domain.errors import InvalidError

NOW = datetime(2024, 3, 31, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        (" NOW ", NOW),
        ("now - 1 week", NOW - timedelta(weeks=1)),
        ("now+2days-3 hours", NOW + timedelta(days=2, hours=-3)),
        ("now - 90 seconds + 1 minute", NOW - timedelta(seconds=30)),
        # The last of the month, where the month is shorter.
        ("now - 1 month", datetime(2024, 2, 29, 12, 30, tzinfo=UTC)),
        ("now - 13 months", datetime(2023, 2, 28, 12, 30, tzinfo=UTC)),
        ("now + 1 quarter", datetime(2024, 6, 30, 12, 30, tzinfo=UTC)),
        ("now - 4 years", datetime(2020, 3, 31, 12, 30, tzinfo=UTC)),
        ("2016-11-30T15:47:00Z", datetime(2016, 11, 30, 15, 47, tzinfo=UTC)),
        ("2016-11-30T15:47:00.250Z", datetime(2016, 11, 30, 15, 47, 0, 250_000, UTC)),
        ("1480520820000", datetime(2016, 11, 30, 15, 47, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_in_three_ways(text: str, expected: datetime):
    assert parse_time(text, now=NOW, field="t") == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "now - 1",
        "now - week",
        "now 1 week",
        "now - 1 fortnight",
        "now - 9999 years",
        "now + 999999999 weeks",
        "2016-11-30",
        "2016-11-30T15:47:00",
        "2016-11-30T15:47:00+01:00",
        "2016-13-30T15:47:00Z",
        "1.5",
        "999999999999999999",
        "١٢٣",
    ],
)
def test_what_is_no_time_names_the_field_and_the_ways(text: str):
    with pytest.raises(InvalidError) as caught:
        parse_time(text, now=NOW, field="startTimestamp")

    assert caught.value.field == "startTimestamp"
    assert "now - 1 week" in caught.value.message


@given(st.datetimes(timezones=st.just(UTC)))
def test_milliseconds_come_back_as_they_went(moment: datetime):
    whole = moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    assert parse_time(to_millis(whole), now=NOW, field="t") == whole
