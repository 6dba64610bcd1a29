from __future__ import annotations

import pytest
import structlog

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


def test_another_cause_is_another_line(clock: Clock):
    other = {**AWAY, "error": "y"}

    assert lines(OncePerMinute(clock), AWAY, other, AWAY) == [AWAY, other]


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
    assert len(quiet._repeats) <= 1_001
