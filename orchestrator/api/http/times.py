"""
Time as the API speaks it: milliseconds, ISO 8601 in UTC, or ``now - 1 week``.

It reads no clock: relative times are resolved against a moment that the caller gives.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import PlainSerializer

from orchestrator.domain.errors import InvalidError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z", re.ASCII)
_STEP = re.compile(r"\s*([+-])\s*(\d{1,9})\s*([a-z]+)", re.ASCII)
_RELATIVE = re.compile(rf"now(?:{_STEP.pattern})*\s*", re.ASCII)

_EXACT = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_MONTHS_PER_YEAR = 12
#: The longest months first: the 31st of January plus a month is the last of February.
_LAST_DAYS = (31, 30, 29, 28)

#: Characters of a wrong time that are repeated.
_ECHO_MAX = 128

_REMEDY = "write milliseconds, 2016-11-30T15:47:00Z, or now - 1 week"


def to_millis(moment: datetime) -> int:
    """Return milliseconds since the epoch, rounded down."""
    return (moment - _EPOCH) // _MILLISECOND


#: A moment in an answer.
Millis = Annotated[datetime, PlainSerializer(to_millis, return_type=int)]


def whole_millisecond(moment: datetime) -> datetime:
    """Return the last moment that is shown as the same millisecond as *moment*."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000 + 999)


def parse_time(value: int | str, *, now: datetime, field: str) -> datetime:
    """
    Read a moment in any of the three ways.

    Args:
        now: Aware UTC; relative times count from it, in calendar months and years.
        field: Whose value it is, for the error.

    Raises:
        InvalidError: It is none of the three, in another zone, or out of range.
    """
    try:
        if isinstance(value, int):
            return _EPOCH + value * _MILLISECOND
        return _parse_text(value.strip(), now)
    except (ValueError, OverflowError) as exc:
        shown = str(value)[:_ECHO_MAX]
        raise InvalidError(f"'{shown}' is not a time: {_REMEDY}", field=field) from exc


def _parse_text(text: str, now: datetime) -> datetime:
    if re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
        return _EPOCH + int(text) * _MILLISECOND
    if _ISO.fullmatch(text):
        return datetime.fromisoformat(text)
    if _RELATIVE.fullmatch(text.lower()):
        return _relative(text.lower(), now)
    raise ValueError(text)


def _relative(text: str, now: datetime) -> datetime:
    moment = now
    for sign, digits, unit in _STEP.findall(text):
        count = int(digits) if sign == "+" else -int(digits)
        moment = _plus(moment, count, unit.removesuffix("s"))
    return moment


def _plus(moment: datetime, count: int, unit: str) -> datetime:
    if unit in _EXACT:
        return moment + count * _EXACT[unit]
    if unit in _MONTHS:
        return _plus_months(moment, count * _MONTHS[unit])
    raise ValueError(unit)


def _plus_months(moment: datetime, months: int) -> datetime:
    years, month = divmod(moment.month - 1 + months, _MONTHS_PER_YEAR)
    target = (moment.year + years, month + 1)
    for day in (moment.day, *_LAST_DAYS):
        if day <= moment.day and _is_date(*target, day):
            return moment.replace(year=target[0], month=target[1], day=day)
    raise ValueError(f"year {target[0]} is out of range")


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        datetime(year, month, day, tzinfo=UTC)
    except ValueError:
        return False
    return True
