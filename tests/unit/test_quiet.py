from __future__ import annotations

import logging
from typing import Any

import kombu.exceptions
import pytest
import redis
import sqlalchemy.exc
import structlog

from orchestrator.contracts import repeats
from orchestrator.quiet import OncePerMinute


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lines(quiet: OncePerMinute, *events: dict[str, object]) -> list[dict[str, object]]:
    said = []
    for event in events:
        try:
            said.append(dict(quiet(None, str(event["level"]), dict(event))))
        except structlog.DropEvent:
            continue
    return said


AWAY: dict[str, object] = {"event": "broker.refused", "level": "warning", "error": "x"}


def test_the_same_trouble_is_said_once_a_minute_with_a_count(clock: Clock):
    quiet = OncePerMinute(clock)

    first = lines(quiet, *[AWAY] * 50)
    clock.now += 61
    second = lines(quiet, *[AWAY] * 3)

    assert first == [AWAY]
    assert second == [{**AWAY, "times": 50}]


def test_a_broker_that_is_away_is_one_trouble_of_every_step_that_asks_it(clock: Clock):
    away = {**AWAY, "event": "broker.unavailable"}
    said = [{**away, "step": step} for step in ("canary", "recover", "purge")]

    assert lines(OncePerMinute(clock), *said) == said[:1]
    failed = [{**line, "event": "tick.step_failed"} for line in said]
    assert lines(OncePerMinute(clock), *failed) == failed


def test_another_cause_is_another_line(clock: Clock):
    other = {**AWAY, "error": "y"}

    assert lines(OncePerMinute(clock), AWAY, other, AWAY) == [AWAY, other]


def test_a_database_that_is_away_is_one_trouble_whoever_asks_it(clock: Clock):
    away = {**AWAY, "event": "database.unavailable"}
    asked = [{**away, "path": f"/job/{number}"} for number in range(9)]

    assert len(lines(OncePerMinute(clock), *asked)) == 1
    refused = [{**AWAY, "event": "report.rejected", "task": str(n)} for n in range(9)]
    assert len(lines(OncePerMinute(clock), *refused)) == 9


def test_what_is_no_trouble_is_always_said(clock: Clock):
    done: dict[str, object] = {"event": "task.dispatched", "level": "info"}

    assert lines(OncePerMinute(clock), done, done) == [done, done]


def test_errors_are_the_same_by_their_kind(clock: Clock):
    failed = {"event": "tick.step_failed", "level": "error"}
    one, two = ValueError("1"), ValueError("2")

    said = lines(
        OncePerMinute(clock),
        {**failed, "exc_info": one},
        {**failed, "exc_info": two},
        {**failed, "exc_info": KeyError()},
    )

    assert len(said) == 2


def test_what_is_remembered_is_bounded(clock: Clock):
    quiet = OncePerMinute(clock)
    many = [{**AWAY, "error": str(number)} for number in range(5_000)]

    assert len(lines(quiet, *many)) == 5_000
    assert len(quiet._repeats._said) <= 1_001


def record(message: str, *args: object, **fields: Any) -> logging.LogRecord:
    made = logging.LogRecord("kombu", logging.WARNING, "", 0, message, args, None)
    vars(made).update(fields)
    return made


def test_a_librarys_line_is_said_once_whatever_it_fills_in(clock: Clock):
    quiet = repeats.OncePerMinute(clock)

    first = [
        quiet.filter(record("away, again in %s s", seconds)) for seconds in range(9)
    ]
    other = quiet.filter(record("something else"))
    clock.now += 61
    later = record("away, again in %s s", 9)

    assert first == [True] + [False] * 8
    assert other
    assert quiet.filter(later)
    assert vars(later)["times"] == 9


@pytest.mark.parametrize(
    ("error", "is_away"),
    [
        (ConnectionRefusedError("no"), True),
        (redis.exceptions.TimeoutError("slow"), True),
        (kombu.exceptions.OperationalError("gone"), True),
        (sqlalchemy.exc.OperationalError("x", {}, Exception("y")), True),
        (ValueError("ours"), False),
        (sqlalchemy.exc.ProgrammingError("x", {}, Exception("y")), False),
    ],
)
def test_what_is_away_has_no_traceback(clock: Clock, error: Exception, is_away):
    line = record(
        "lost: %s", "it\nhere" if is_away else "it", exc_info=(type(error), error, None)
    )

    repeats.OncePerMinute(clock).filter(line)

    assert (line.exc_info is None) is is_away
    assert "\n" not in line.getMessage()
    if is_away:
        assert vars(line)["error"].startswith(f"{type(error).__name__}: ")
