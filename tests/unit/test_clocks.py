from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.clocks import (
    DELIVERY,
    JOB_CLOCKS,
    LEASE,
    TASK_CLOCKS,
    Ending,
    TaskLimits,
    Watermark,
    due_at,
    job_due_at,
)
from orchestrator.domain.limits import Limits
from orchestrator.domain.values import JobState, TaskState

START = datetime(2026, 1, 2, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_every_state_that_is_not_final_has_a_clock_that_ends_it():
    """Adding a state without a clock must fail here."""
    assert set(TASK_CLOCKS) == {state for state in TaskState if not state.is_final}
    assert set(JOB_CLOCKS) == {state for state in JobState if not state.is_final}
    for clocks in (*TASK_CLOCKS.values(), *JOB_CLOCKS.values()):
        assert any(clock.ending is Ending.TIMEOUT for clock in clocks)


def test_every_clock_runs_as_long_as_settings_say():
    limits = Limits()

    clocks = {*chain(*TASK_CLOCKS.values(), *JOB_CLOCKS.values())}

    # The one that is counted in heartbeats.
    for clock in clocks - {DELIVERY}:
        assert clock.limit(limits) > timedelta(0)


@pytest.mark.parametrize("state", TASK_CLOCKS)
def test_a_task_enters_a_state_with_a_clock_of_its_worker(state):
    limits = TaskLimits(run_seconds=10, run_grace_seconds=5, queue_wait_seconds=100)
    seconds = {TaskState.ENQUEUED: 100, TaskState.EXECUTING: 15}

    assert due_at(state, START, limits) == at(seconds[state])


def test_nobody_enters_a_state_without_a_clock():
    with pytest.raises(LookupError, match="0 stored clocks"):
        due_at(TaskState.SUCCESS, START, TaskLimits())


def test_a_clock_that_no_row_stores_lets_nobody_in(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(TASK_CLOCKS, TaskState.EXECUTING, (LEASE,))

    with pytest.raises(LookupError, match="executing has 0 stored clocks"):
        due_at(TaskState.EXECUTING, START, TaskLimits())


def test_a_jobs_deadline_is_its_clock():
    limits = Limits(job_seconds=60)

    for state in JOB_CLOCKS:
        assert job_due_at(state, START, limits) == at(60)


def test_silence_counts_only_up_to_what_was_read():
    watermark = Watermark(at=at(14), gap_ended_at=at(0))

    assert not watermark.silent(at(0), timedelta(seconds=15))
    assert watermark.moved_to(at(15.5)).silent(at(0), timedelta(seconds=15))


def test_after_a_gap_silence_is_counted_anew():
    watermark = Watermark(at=at(0), gap_ended_at=at(0)).moved_to(at(60))

    assert watermark.gap_ended_at == at(60)
    assert not watermark.silent(at(0), timedelta(seconds=15))


def test_canaries_close_to_each_other_are_no_gap():
    watermark = Watermark(at=at(0), gap_ended_at=at(-100)).moved_to(at(3))

    assert watermark.gap_ended_at == at(-100)


def test_the_watermark_never_goes_back():
    watermark = Watermark(at=at(10), gap_ended_at=at(0))

    assert watermark.moved_to(at(5)) is watermark


@given(
    mark=st.floats(0, 100),
    gap=st.floats(-100, 100),
    since=st.floats(-100, 100),
    limit=st.floats(0.1, 50),
)
def test_the_horizon_of_a_query_is_the_same_rule(mark, gap, since, limit):
    watermark = Watermark(at=at(mark), gap_ended_at=at(gap))
    length = timedelta(seconds=limit)

    by_horizon = at(since) < watermark.horizon(length)

    assert by_horizon == watermark.silent(at(since), length)
