"""
The only place that ends a task, derives its job and rolls the verdict.

The caller has locked jobs and tasks and decided the changes; this file carries them out
in the caller's transaction. It decides no transition.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from uuid_utils.compat import uuid7

from orchestrator.contracts.assignment import celery_id
from orchestrator.db import analyses, counters, history, jobs, tasks, verdicts
from orchestrator.db.counters import Tally
from orchestrator.db.jobs import JobRow
from orchestrator.db.unit_of_work import NOTIFY_MAX_BYTES, Transaction
from orchestrator.db.verdicts import Rolled, TaskOfJob
from orchestrator.domain.states import Change, EventKind, Move, job_state
from orchestrator.domain.values import Task, TaskState
from orchestrator.domain.verdict import (
    Bands,
    Finding,
    StatusOverride,
    WorkerResult,
    roll,
)
from orchestrator.flow.announce import (
    announce_ends,
    announce_verdicts,
    verdicts_before,
)
from orchestrator.flow.tally import count_changes, count_verdicts

#: Moves of the ordinary path, which cost no row of history.
_ORDINARY = frozenset({Move.START, Move.SUCCEED, Move.SAME})


def settle(tx: Transaction, changes: Sequence[Change], *, bands: Bands) -> None:
    """
    Store changes of locked tasks, derive their jobs, roll what is due.

    Args:
        changes: In the order in which they happened; several may be of one task.
        bands: From which score on people read what.
    """
    if not changes:
        return
    _store(tx, changes)
    tx.changed.jobs.update(change.after.job_id for change in changes)
    _tell_holders(tx, changes)
    moved = {c.after.job_id for c in changes if c.before.state is not c.after.state}
    late = {c.after.job_id for c in changes if c.move is Move.LATE}
    rolled = _settle_jobs(tx, moved | late, changes, bands=bands)
    _count(tx, changes, rolled)
    if any(c.after.state is TaskState.ENQUEUED for c in changes) or moved:
        # A slot is free, or the backlog has grown.
        tx.notify("work")


def settle_jobs(tx: Transaction, job_ids: Iterable[UUID], *, bands: Bands) -> None:
    """
    Derive the states of these jobs, locked by the caller, and roll what is finished.

    A finished job that is settled again (a late success) is rolled again.
    """
    _count(tx, (), _settle_jobs(tx, job_ids, (), bands=bands))


def _settle_jobs(
    tx: Transaction,
    job_ids: Iterable[UUID],
    changes: Sequence[Change],
    *,
    bands: Bands,
) -> list[Rolled]:
    ids = sorted(set(job_ids))
    if not ids:
        return []
    rows = jobs.find_jobs(tx, ids)
    derived = {
        row.id: job_state(row.task_states, started=row.started_at is not None)
        for row in rows
    }
    changed = {row.id: derived[row.id] for row in rows if derived[row.id] != row.state}
    jobs.save_states(tx, changed)
    finished = [row for row in rows if derived[row.id].is_final]
    rolled = _roll(tx, finished, bands=bands)
    announce_ends(tx, rows, changed, changes)
    return rolled


def _count(
    tx: Transaction, changes: Sequence[Change], rolled: Sequence[Rolled]
) -> None:
    tally = Tally()
    count_changes(tally, changes)
    count_verdicts(tally, rolled)
    counters.append(tx, tally)


def _store(tx: Transaction, changes: Sequence[Change]) -> None:
    latest: dict[UUID, tuple[Task, Task]] = {}
    for change in changes:
        before = latest.get(change.after.id, (change.before, change.before))[0]
        latest[change.after.id] = (before, change.after)
    tasks.save_tasks(
        tx, [after for before, after in latest.values() if before != after]
    )
    history.add_events(
        tx,
        [
            _row(change)
            for change in changes
            if change.lost or change.move not in _ORDINARY
        ],
    )


def _row(change: Change) -> history.NewEvent:
    event = change.event
    return history.NewEvent(
        task_id=change.before.id,
        job_id=change.before.job_id,
        attempt=event.attempt or change.before.attempt,
        kind=_kind(change),
        reason=event.reason,
        actor=event.actor or event.reporter or change.before.holder,
        message=event.message,
    )


def _kind(change: Change) -> str:
    if change.lost:
        return EventKind.LOST.value
    match change.move:
        case Move.STALE | Move.LATE | Move.DROPPED:
            return change.move.value
        case _:
            return change.event.kind.value


def _tell_holders(tx: Transaction, changes: Sequence[Change]) -> None:
    # The holder that reported the end knows; whoever else has it in hand must stop.
    over: dict[str, list[str]] = {}
    for change in changes:
        before = change.before
        left = before.attempt != change.after.attempt or change.after.state.is_final
        told_by_holder = change.event.is_reported
        if (
            left
            and not told_by_holder
            and before.holder
            and not before.is_held_over_http
        ):
            attempt = celery_id(before.id, before.attempt)
            over.setdefault(before.holder, []).append(attempt)
    for replica, attempts in over.items():
        notify_stop(tx, replica, attempts)


def notify_stop(tx: Transaction, replica: str, attempts: Sequence[str]) -> None:
    """Ask the dispatchers to tell a replica that these attempts are over."""
    # An attempt's id is 38 to 48 bytes; as many as fit one notification, by a margin.
    per_notice = NOTIFY_MAX_BYTES // 64
    for start in range(0, len(attempts), per_notice):
        part = list(attempts[start : start + per_notice])
        tx.notify("stop", json.dumps({"replica": replica, "attempts": part}))


def _roll(tx: Transaction, finished: Sequence[JobRow], *, bands: Bands) -> list[Rolled]:
    if not finished:
        return []
    samples = sorted({row.sample_sha256 for row in finished})
    verdicts.lock_samples(tx, samples)
    before = verdicts_before(tx, finished)
    manual = verdicts.manual_overrides(tx, samples)
    results = _results(tx, finished)
    rolled: list[Rolled] = []
    for row in finished:
        override = manual.get(row.sample_sha256)
        roll_up = _rolled(tx, row, results[row.id], bands=bands, manual=override)
        if roll_up is not None:
            rolled.append(roll_up)
    verdicts.add_verdicts(tx, rolled)
    verdicts.make_current(
        tx, {roll_up.job_id: roll_up.id for roll_up in rolled if roll_up.job_id}
    )
    announce_verdicts(tx, finished, before)
    return rolled


def _rolled(
    tx: Transaction,
    row: JobRow,
    results: Sequence[WorkerResult],
    *,
    bands: Bands,
    manual: StatusOverride | None,
) -> Rolled | None:
    verdict = roll(results, manual_override=manual, bands=bands, now=tx.now)
    if verdict is None:
        return None
    return Rolled(
        id=uuid7(),
        sample_sha256=row.sample_sha256,
        job_id=row.id,
        verdict=verdict,
        manual_override=manual,
    )


def _results(
    tx: Transaction, finished: Sequence[JobRow]
) -> dict[UUID, list[WorkerResult]]:
    """Gather what there is of every worker, for all jobs in two queries."""
    present = verdicts.tasks_of_jobs(tx, [row.id for row in finished])
    absent = {row.id: _not_run(row) for row in finished}
    samples = {row.id: row.sample_sha256 for row in finished}
    needed = [
        (task.job_id, samples[task.job_id], task.worker_id)
        for task in present
        if task.state in {TaskState.FAILED, TaskState.TIMEOUT} and not task.own
    ]
    needed += [
        (job_id, samples[job_id], worker_id)
        for job_id, workers in absent.items()
        for worker_id in workers
    ]
    previous = analyses.previous_findings(tx, needed)
    weights = verdicts.weights(
        tx, {worker_id for workers in absent.values() for worker_id in workers}
    )
    results: dict[UUID, list[WorkerResult]] = {row.id: [] for row in finished}
    for task in present:
        results[task.job_id].append(_result(task, previous))
    for job_id, workers in absent.items():
        results[job_id] += [
            WorkerResult(
                worker_id=worker_id,
                short_name=name,
                weight=weights[worker_id],
                task_state=None,
                previous=previous.get((job_id, worker_id)),
            )
            for worker_id, name in workers.items()
        ]
    return results


def _result(
    task: TaskOfJob, previous: Mapping[tuple[UUID, UUID], Finding]
) -> WorkerResult:
    return WorkerResult(
        worker_id=task.worker_id,
        short_name=task.short_name,
        weight=task.weight,
        task_state=task.state,
        own=task.own,
        previous=previous.get((task.job_id, task.worker_id)),
    )


def _not_run(row: JobRow) -> dict[UUID, str]:
    # In a job for chosen workers the others of the policy count with what they said
    # before; selection noted them when the job was created.
    if not row.is_chosen:
        return {}
    return {
        UUID(choice["workerId"]): choice["worker"]
        for choice in row.selection
        if not choice["selected"] and choice["inPolicy"]
    }
