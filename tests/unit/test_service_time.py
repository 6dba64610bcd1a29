from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.service_time import (
    JUMP,
    Correction,
    Reading,
    find_jump,
    is_doubtful,
)

START = datetime(2026, 1, 2, tzinfo=UTC)
LITTLE = timedelta(milliseconds=50)
DAY = 86_400.0


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def reading(
    seconds: float, *, own: float, epoch: int = 0, took: float = 0.0
) -> Reading:
    return Reading(epoch=epoch, time=at(seconds), asked=own, answered=own + took)


none = Correction(epoch=0, offset=timedelta(), made_at=START)


@given(
    st.floats(-DAY, DAY).filter(lambda seconds: abs(seconds) > 2),
    st.floats(0, 3_600),
)
def test_time_goes_on_where_the_clock_jumps(jump, later):
    corrected = none.after(timedelta(seconds=jump), clock=at(jump))

    before, after = corrected.time_at(at(jump)), corrected.time_at(at(jump + later))

    assert before == START
    assert abs((after - before).total_seconds() - later) <= later / 100 + 0.001
    assert corrected.epoch == 1
    assert corrected.jump == timedelta(seconds=jump)


@given(st.floats(-DAY, DAY))
def test_a_correction_wears_off_and_time_never_goes_back(jump):
    corrected = none.after(timedelta(seconds=jump), clock=START)

    times = [corrected.time_at(at(hour * 3_600)) for hour in range(0, 24 * 101, 7)]

    assert times == sorted(set(times))
    assert corrected.left_at(at(abs(jump) * 100 + 1)) == timedelta()


def test_corrections_add_up():
    once = none.after(timedelta(hours=1), clock=at(3_600))
    twice = once.after(timedelta(hours=-1), clock=START)

    assert twice.epoch == 2
    assert twice.left_at(START) == timedelta()


@given(st.floats(0, 7_200), st.floats(-0.01, 0.01), st.floats(0, 30), st.floats(0, 30))
def test_a_slow_answer_and_a_clock_that_drifts_are_no_jump(
    elapsed, drift, slow, slower
):
    former = reading(0, own=0, took=slow)
    moment = elapsed * (1 + drift)
    # The database looked at its clock at some moment between question and answer.
    present = Reading(
        epoch=0, time=at(slow + moment), asked=elapsed, answered=elapsed + slow + slower
    )

    assert not is_doubtful(present, former)
    assert not find_jump(present, former, newest=present.time)


@pytest.mark.parametrize("jump", [60, 3_600, DAY])
def test_a_jump_forward_is_one_unless_others_lived_through_it(jump):
    former, present = reading(0, own=0), reading(jump + 0.5, own=0.5)

    assert is_doubtful(present, former)
    assert find_jump(present, former, newest=at(0.2)) == timedelta(seconds=jump)
    assert not find_jump(present, former, newest=at(jump - 1))


@pytest.mark.parametrize("jump", [60, 3_600, DAY])
def test_a_jump_back_shows_in_what_is_stored_whoever_reads_it(jump):
    present = reading(0.5 - jump, own=0.5)

    assert find_jump(present, None, newest=at(0.2)) == timedelta(seconds=0.3 - jump)
    assert find_jump(present, reading(0, own=0), newest=at(0.2)) == timedelta(
        seconds=-jump
    )


def test_whose_own_clock_ran_ahead_has_seen_no_jump_back():
    assert not find_jump(reading(1, own=60), reading(0, own=0), newest=at(0.9))


def test_what_we_have_read_ourselves_is_a_jump_back_though_nobody_wrote_it():
    """As of a service that has just begun."""
    former = reading(0, own=0)

    assert find_jump(reading(-60, own=1), former, newest=at(-DAY)) == timedelta(
        seconds=-61
    )
    assert not find_jump(reading(-0.9, own=1), former, newest=at(-DAY))


def test_who_has_no_reading_of_this_epoch_knows_no_jump_forward():
    assert is_doubtful(reading(0, own=0), None)
    assert not find_jump(reading(9_999, own=0), None, newest=START)
    other_epoch = reading(0, own=0, epoch=1)
    assert not find_jump(reading(9_999, own=0), other_epoch, newest=START)


def test_jitter_is_no_jump():
    former = reading(0, own=0)

    for seconds in (JUMP - LITTLE, LITTLE - JUMP):
        assert not is_doubtful(reading(seconds.total_seconds(), own=0), former)
