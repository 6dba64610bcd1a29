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
    Happening,
    Move,
    TaskEvent,
    change,
    job_state,
    mermaid,
    move,
)
from orchestrator.domain.values import JobState, Reason, Task, TaskState

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LIMITS = TaskLimits(run_seconds=10, run_grace_seconds=5, queue_wait_seconds=100)

#: The table of the design, written down a second time on purpose.
EXPECTED = {
    TaskEvent.EXECUTING: "start stale stale stale stale stale",
    TaskEvent.SUCCESS: "succeed succeed stale late late dropped",
    TaskEvent.FAILED: "fail fail stale stale stale stale",
    TaskEvent.TIMED_OUT: "time_out time_out stale stale stale stale",
    TaskEvent.RELEASED: "release release stale stale stale stale",
    TaskEvent.LOST: "illegal lose illegal illegal illegal illegal",
    TaskEvent.EXPIRED: "time_out time_out illegal illegal illegal illegal",
    TaskEvent.CANCELLED: "cancel cancel refused refused refused same",
    TaskEvent.RETRIED: "refused refused refused retry retry refused",
    TaskEvent.POISONED: "poison poison illegal illegal illegal illegal",
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


def happening(event: TaskEvent, **fields: Any) -> Happening:
    base = Happening(event=event)
    if event in REPORTED:
        base = replace(base, attempt=1, reporter="r1")
    if event in {TaskEvent.FAILED, TaskEvent.LOST}:
        base = replace(base, reason=Reason.ERROR)
    return replace(base, **fields)


def after(before: Task, event: TaskEvent, **fields: Any) -> Change:
    return change(before, happening(event, **fields), limits=LIMITS, now=NOW)


@pytest.mark.parametrize("event", TaskEvent)
@pytest.mark.parametrize(("column", "state"), list(enumerate(TaskState)))
def test_every_pair_of_state_and_event_moves_as_the_design_says(column, state, event):
    expected = Move(EXPECTED[event].split()[column])

    assert move(task(state), happening(event)) is expected


def test_the_table_is_complete():
    assert set(MOVES) == set(TaskState)
    assert all(set(row) == set(TaskEvent) for row in MOVES.values())
    assert set(LEADS_TO) | UNCHANGING == set(Move)


@pytest.mark.parametrize("event", TaskEvent)
@pytest.mark.parametrize("state", TaskState)
def test_a_change_leads_where_the_table_says_and_nowhere_else(state, event):
    before = task(state)

    made = after(before, event)

    if made.move in UNCHANGING:
        assert replace(made.after, late=False) == before
        return
    allowed = {LEADS_TO[made.move]}
    if made.move in MAY_LEAD_BACK:
        allowed.add(TaskState.ENQUEUED)
    assert made.after.state in allowed
    assert made.after.state.is_final == (made.after.ended_at is not None)
    assert made.after.state.is_final == (made.after.due_at is None)


@pytest.mark.parametrize("event", sorted(REPORTED))
@pytest.mark.parametrize("state", TaskState)
@pytest.mark.parametrize("fields", [{"attempt": 2}, {"attempt": 0}])
def test_a_report_of_another_attempt_changes_nothing(state, event, fields):
    made = after(task(state), event, **fields)

    assert made.move is Move.STALE
    assert made.after == made.before


@pytest.mark.parametrize("event", sorted(REPORTED))
@pytest.mark.parametrize("state", TaskState)
def test_a_report_from_another_holder_changes_nothing(state, event):
    made = after(task(state, holder="r1"), event, reporter="r2")

    assert made.move is Move.STALE
    assert made.after == made.before


def test_the_first_report_makes_its_replica_the_holder():
    started = after(task(), TaskEvent.EXECUTING, reporter="r7").after

    assert started.holder == "r7"
    assert started.due_at == NOW + timedelta(seconds=15)


def test_a_success_after_a_clock_is_late_once():
    ended = task(TaskState.TIMEOUT, holder="r1")

    first = after(ended, TaskEvent.SUCCESS)
    second = after(first.after, TaskEvent.SUCCESS)

    assert first.move is Move.LATE
    assert first.after == replace(ended, late=True)
    assert second.move is Move.STALE


@pytest.mark.parametrize("reason", [Reason.ERROR, Reason.CRASHED, Reason.POISON])
def test_a_success_after_the_holders_own_failure_is_stale(reason):
    made = after(task(TaskState.FAILED, reason=reason), TaskEvent.SUCCESS)

    assert made.move is Move.STALE


@pytest.mark.parametrize("reason", [Reason.CRASHED, Reason.OUT_OF_MEMORY])
def test_losses_back_off_until_the_budget_ends_the_task_with_its_own_reason(reason):
    waits = []
    present = task(TaskState.EXECUTING)
    for attempt in (1, 2, 3):
        made = after(
            replace(present, state=TaskState.EXECUTING, holder="r1", started_at=NOW),
            TaskEvent.FAILED,
            reason=reason,
            attempt=attempt,
        )
        present = made.after
        if present.not_before:
            waits.append((present.not_before - NOW).total_seconds())

    assert waits == [2, 4]
    assert (present.state, present.reason) == (TaskState.FAILED, reason)
    assert (present.attempt, present.losses) == (3, 3)


def test_a_free_loss_uses_no_budget_and_waits_for_nothing():
    made = after(task(TaskState.EXECUTING, losses=2), TaskEvent.LOST, free=True)

    assert made.after.state is TaskState.ENQUEUED
    assert (made.after.losses, made.after.not_before) == (2, None)


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
    made = after(
        task(TaskState.EXECUTING),
        TaskEvent.FAILED,
        reason=reason,
        recoverable=recoverable,
    )

    assert (made.after.state is TaskState.ENQUEUED) is again
    assert made.lost is again


def test_a_next_attempt_is_unpublished_and_belongs_to_nobody():
    before = task(TaskState.EXECUTING, published_at=NOW, losses=1)

    released = after(before, TaskEvent.RELEASED).after

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

    made = after(failed, TaskEvent.RETRIED)

    assert made.after.state is TaskState.ENQUEUED
    assert (made.after.attempt, made.after.losses, made.after.reason) == (4, 0, None)


def test_a_start_is_counted_back_and_never_before_the_queue():
    """The replica's clock may be hours off; only its duration is used."""
    short = after(task(), TaskEvent.SUCCESS, run_time=timedelta(seconds=2)).after
    long = after(task(), TaskEvent.SUCCESS, run_time=timedelta(days=2)).after

    assert short.started_at == NOW - timedelta(seconds=2)
    assert long.started_at == task().queued_at


@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(TaskEvent)),
            st.integers(1, 4),
            st.sampled_from(["r1", "r2"]),
            st.sampled_from([Reason.ERROR, Reason.CRASHED]),
        ),
        max_size=30,
    )
)
def test_whatever_happens_attempts_only_grow_and_ends_stay(events):
    present = task()
    for event, attempt, reporter, reason in events:
        made = after(present, event, attempt=attempt, reporter=reporter, reason=reason)
        assert made.after.attempt >= present.attempt
        assert made.after.losses <= LIMITS.max_losses
        if present.state.is_final and made.move is not Move.RETRY:
            assert made.after.state is present.state
        present = made.after


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
        for event, made in row.items():
            if made not in UNCHANGING:
                assert any(
                    line.strip().startswith(f"{state} --> {LEADS_TO[made]}:")
                    and event in line
                    for line in drawn.splitlines()
                )
