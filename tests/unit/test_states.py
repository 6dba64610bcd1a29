from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.clocks import TaskLimits
from orchestrator.domain.states import (
    LEADS_TO,
    MAY_LEAD_BACK,
    MOVES,
    REPORTED,
    UNCHANGING,
    Change,
    Event,
    EventKind,
    Move,
    apply,
    job_state,
    mermaid,
    move_for,
)
from orchestrator.domain.values import JobState, Reason, Task, TaskState

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LIMITS = TaskLimits(run_seconds=10, run_grace_seconds=5, queue_wait_seconds=100)

#: The table of the design, written down a second time on purpose.
EXPECTED = {
    EventKind.EXECUTING: "start stale stale stale stale stale",
    EventKind.SUCCESS: "succeed succeed stale late late dropped",
    EventKind.FAILED: "fail fail stale stale stale stale",
    EventKind.TIMED_OUT: "time_out time_out stale stale stale stale",
    EventKind.RELEASED: "release release stale stale stale stale",
    EventKind.LOST: "illegal lose illegal illegal illegal illegal",
    EventKind.EXPIRED: "time_out time_out illegal illegal illegal illegal",
    EventKind.CANCELLED: "cancel cancel refused refused refused same",
    EventKind.RETRIED: "refused refused refused retry retry refused",
}


def task(state: TaskState = TaskState.ENQUEUED, **fields: Any) -> Task:
    base = Task(
        id=UUID(int=1),
        job_id=UUID(int=2),
        worker_id=UUID(int=3),
        sample_sha256="0" * 64,
        state=state,
        queued_at=NOW - timedelta(seconds=50),
        due_at=None if state.is_final else NOW,
        ended_at=NOW if state.is_final else None,
        # A clock's ending, so that the table's LATE shows.
        reason=Reason.RUN_TIME if state.is_final else None,
        started_at=NOW if state is TaskState.EXECUTING else None,
        holder="r1" if state is TaskState.EXECUTING else None,
    )
    return replace(base, **fields)


def event(kind: EventKind, **fields: Any) -> Event:
    base = Event(kind=kind)
    if kind in REPORTED:
        base = replace(base, attempt=1, reporter="r1")
    if kind in {EventKind.FAILED, EventKind.LOST}:
        base = replace(base, reason=Reason.ERROR)
    return replace(base, **fields)


def after(before: Task, kind: EventKind, **fields: Any) -> Change:
    return apply(before, event(kind, **fields), limits=LIMITS, now=NOW)


@pytest.mark.parametrize("kind", EventKind)
@pytest.mark.parametrize(("column", "state"), list(enumerate(TaskState)))
def test_every_pair_of_state_and_event_moves_as_the_design_says(column, state, kind):
    expected = Move(EXPECTED[kind].split()[column])

    assert move_for(task(state), event(kind)) is expected


def test_the_table_is_complete():
    assert set(MOVES) == set(TaskState)
    assert all(set(row) == set(EventKind) for row in MOVES.values())
    assert set(LEADS_TO) | UNCHANGING == set(Move)


@pytest.mark.parametrize("kind", EventKind)
@pytest.mark.parametrize("state", TaskState)
def test_a_change_leads_where_the_table_says_and_nowhere_else(state, kind):
    before = task(state)

    change = after(before, kind)

    if change.move in UNCHANGING:
        assert replace(change.after, late=False) == before
        return
    allowed = {LEADS_TO[change.move]}
    if change.move in MAY_LEAD_BACK:
        allowed.add(TaskState.ENQUEUED)
    assert change.after.state in allowed
    assert change.after.state.is_final == (change.after.ended_at is not None)
    assert change.after.state.is_final == (change.after.due_at is None)


@pytest.mark.parametrize("kind", sorted(REPORTED))
@pytest.mark.parametrize("state", TaskState)
@pytest.mark.parametrize("fields", [{"attempt": 2}, {"attempt": 0}])
def test_a_report_of_another_attempt_changes_nothing(state, kind, fields):
    change = after(task(state), kind, **fields)

    assert change.move is Move.STALE
    assert change.after == change.before


@pytest.mark.parametrize("kind", sorted(REPORTED))
@pytest.mark.parametrize("state", TaskState)
def test_a_report_from_another_holder_changes_nothing(state, kind):
    change = after(task(state, holder="r1"), kind, reporter="r2")

    assert change.move is Move.STALE
    assert change.after == change.before


def test_the_first_report_makes_its_replica_the_holder():
    started = after(task(), EventKind.EXECUTING, reporter="r7").after

    assert started.holder == "r7"
    assert started.due_at == NOW + timedelta(seconds=15)


def test_a_success_after_a_clock_is_late_once():
    ended = task(TaskState.TIMEOUT, holder="r1")

    first = after(ended, EventKind.SUCCESS)
    second = after(first.after, EventKind.SUCCESS)

    assert first.move is Move.LATE
    assert first.after == replace(ended, late=True)
    assert second.move is Move.STALE


@pytest.mark.parametrize("reason", [Reason.ERROR, Reason.CRASHED, Reason.POISON])
def test_a_success_after_the_holders_own_failure_is_stale(reason):
    change = after(task(TaskState.FAILED, reason=reason), EventKind.SUCCESS)

    assert change.move is Move.STALE


@pytest.mark.parametrize("reason", [Reason.CRASHED, Reason.OUT_OF_MEMORY])
def test_losses_back_off_until_the_budget_ends_the_task_with_its_own_reason(reason):
    waits = []
    present = task(TaskState.EXECUTING)
    for attempt in (1, 2, 3):
        change = after(
            replace(present, state=TaskState.EXECUTING, holder="r1", started_at=NOW),
            EventKind.FAILED,
            reason=reason,
            attempt=attempt,
        )
        present = change.after
        if present.not_before:
            waits.append((present.not_before - NOW).total_seconds())

    assert waits == [2, 4]
    assert (present.state, present.reason) == (TaskState.FAILED, reason)
    assert (present.attempt, present.losses) == (3, 3)


def test_a_free_loss_uses_no_budget_and_waits_for_nothing():
    change = after(task(TaskState.EXECUTING, losses=2), EventKind.LOST, free=True)

    assert change.after.state is TaskState.ENQUEUED
    assert (change.after.losses, change.after.not_before) == (2, None)


def test_what_is_given_back_again_and_again_waits_longer_and_longer():
    """A sample that fits no replica's scratch went round twice a second."""
    waits = []
    present = task()
    for attempt in range(1, 11):
        present = after(present, EventKind.RELEASED, attempt=attempt).after
        waits.append((present.not_before or NOW) - NOW)

    assert present.losses == 0
    assert [wait.total_seconds() for wait in waits] == [
        *(0, 1, 2, 4, 8, 16, 32),
        *(60, 60, 60),
    ]


def test_losses_make_no_release_wait():
    lost = task(TaskState.EXECUTING, attempt=3, losses=2)

    released = after(lost, EventKind.RELEASED, attempt=3).after

    assert (released.losses, released.not_before) == (2, None)


@pytest.mark.parametrize(
    ("reason", "recoverable", "again"),
    [
        (Reason.ERROR, False, False),
        (Reason.ERROR, True, True),
        (Reason.BAD_RESULT, True, False),
        (Reason.UNSUPPORTED, True, False),
    ],
)
def test_only_a_recoverable_error_is_tried_again(reason, recoverable, again):
    change = after(
        task(TaskState.EXECUTING),
        EventKind.FAILED,
        reason=reason,
        recoverable=recoverable,
    )

    assert (change.after.state is TaskState.ENQUEUED) is again
    assert change.lost is again


@pytest.mark.parametrize("state", [TaskState.ENQUEUED, TaskState.EXECUTING])
def test_what_others_died_of_ends_an_open_task_without_its_holders_word(state):
    poison = Event(kind=EventKind.FAILED, reason=Reason.POISON, actor="clock")

    change = apply(task(state), poison, limits=LIMITS, now=NOW)

    assert change.move is Move.FAIL
    assert (change.after.state, change.after.reason) == (
        TaskState.FAILED,
        Reason.POISON,
    )
    assert (change.after.holder, change.lost) == (task(state).holder, False)


def test_a_next_attempt_is_unpublished_and_belongs_to_nobody():
    before = task(TaskState.EXECUTING, published_at=NOW, losses=1)

    released = after(before, EventKind.RELEASED).after

    assert released == replace(
        before,
        state=TaskState.ENQUEUED,
        attempt=2,
        holder=None,
        published_at=None,
        started_at=None,
        queued_at=NOW,
        due_at=NOW + timedelta(seconds=100),
    )


def test_a_retry_has_a_fresh_budget():
    failed = task(TaskState.FAILED, losses=3, attempt=3, reason=Reason.WORKER_LOST)

    change = after(failed, EventKind.RETRIED)

    assert change.after.state is TaskState.ENQUEUED
    assert (change.after.attempt, change.after.losses, change.after.reason) == (
        4,
        0,
        None,
    )


def test_a_start_is_counted_back_and_never_before_the_queue():
    """The replica's clock may be hours off; only its duration is used."""
    short = after(task(), EventKind.SUCCESS, run_time=timedelta(seconds=2)).after
    long = after(task(), EventKind.SUCCESS, run_time=timedelta(days=2)).after

    assert short.started_at == NOW - timedelta(seconds=2)
    assert long.started_at == task().queued_at


@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(EventKind)),
            st.integers(1, 4),
            st.sampled_from(["r1", "r2"]),
            st.sampled_from([Reason.ERROR, Reason.CRASHED]),
        ),
        max_size=30,
    )
)
def test_whatever_happens_attempts_only_grow_and_ends_stay(events):
    present = task()
    for kind, attempt, reporter, reason in events:
        change = after(present, kind, attempt=attempt, reporter=reporter, reason=reason)
        assert change.after.attempt >= present.attempt
        assert change.after.losses <= LIMITS.max_losses
        if present.state.is_final and change.move is not Move.RETRY:
            assert change.after.state is present.state
        present = change.after


@pytest.mark.parametrize(
    ("states", "started", "expected"),
    [
        ([], False, JobState.DONE),
        (["enqueued", "enqueued"], False, JobState.ENQUEUED),
        (["enqueued", "enqueued"], True, JobState.EXECUTING),
        (["executing", "enqueued"], False, JobState.EXECUTING),
        (["success", "enqueued"], False, JobState.EXECUTING),
        (["success", "failed", "cancelled", "timeout"], True, JobState.DONE),
    ],
)
def test_a_job_follows_from_its_tasks(states, started, expected):
    tasks = [(TaskState(state), None) for state in states]

    assert job_state(tasks, started=started) is expected


def test_a_job_whose_own_deadline_ended_a_task_is_timed_out():
    tasks = [
        (TaskState.SUCCESS, None),
        (TaskState.TIMEOUT, Reason.JOB_TIME),
    ]

    assert job_state(tasks, started=True) is JobState.TIMEOUT


def test_the_diagram_has_an_edge_for_every_move_that_changes_something():
    drawn = mermaid()

    for state, row in MOVES.items():
        for kind, move in row.items():
            if move not in UNCHANGING:
                assert any(
                    line.strip().startswith(f"{state} --> {LEADS_TO[move]}:")
                    and kind in line
                    for line in drawn.splitlines()
                )
