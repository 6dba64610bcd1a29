"""
Applies reports: the task's change, its analysis, and the poison count of a death.

The rules are ``domain/states.py``; carrying out is ``settle.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

from orchestrator.contracts.report import Report
from orchestrator.db import analyses, poison, tasks, workers
from orchestrator.db.analyses import Link, NewAnalysis
from orchestrator.db.history import Rejected
from orchestrator.db.poison import Death
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.states import Change, Event, EventKind, Move, apply
from orchestrator.domain.values import Reason, Task
from orchestrator.flow.ports import Engine
from orchestrator.flow.roster import Roster
from orchestrator.flow.settle import settle

#: Deaths that may be the sample's fault; a lost lease says something of the replica.
_DEATHS = frozenset({Reason.CRASHED, Reason.OUT_OF_MEMORY})


def apply_reports(
    tx: Transaction, reports: Sequence[Report], *, roster: Roster, engine: Engine
) -> list[Rejected]:
    """
    Apply reports in order, each for the version that its replica announced.

    Returns:
        Those of tasks that are not here; nothing of them was written.
    """
    if not reports:
        return []
    locked = tasks.find_tasks_for_update(tx, {report.task_id for report in reports})
    present = locked.tasks
    versions = workers.announced_versions(tx, {report.replica for report in reports})
    changes: list[Change] = []
    new: list[NewAnalysis] = []
    links: list[Link] = []
    rejected: list[Rejected] = []
    for report in reports:
        task = present.get(report.task_id)
        if task is None:
            rejected.append(_refused(report, "unknown_task: no such task (any more)"))
            continue
        announced = versions.get((report.replica, task.worker_id))
        version = announced or report.worker_version
        change = _change(tx, task, report, version=version, roster=roster)
        present[task.id] = change.after
        changes.append(change)
        if report.analysis is not None and change.move in {Move.SUCCEED, Move.LATE}:
            customer_id = locked.customers[task.id]
            analysis = _analysis(task, report, version=version, customer_id=customer_id)
            new.append(analysis)
            links.append(_link(change, analysis))
    # Analyses first: settling rolls verdicts out of them.
    analyses.add_analyses(tx, new, links)
    settle(tx, changes, bands=engine.limits.bands)
    return rejected


def _change(
    tx: Transaction, task: Task, report: Report, *, version: str, roster: Roster
) -> Change:
    limits = roster.limits[task.worker_id]
    change = apply(task, _event_of(report), limits=limits, now=tx.now)
    if change.move is not Move.FAIL or change.event.reason not in _DEATHS:
        return change
    death = Death(
        sample_sha256=task.sample_sha256,
        worker_id=task.worker_id,
        version=version,
    )
    poison.count_death(tx, death)
    if not poison.is_poison(tx, death):
        return change
    # Not a loss any more: no budget is asked.
    ending = replace(change.event, reason=Reason.POISON, recoverable=False)
    return apply(task, ending, limits=limits, now=tx.now)


def _event_of(report: Report) -> Event:
    timed_out = report.kind == "timed_out"
    reason = Reason(report.reason) if report.reason else None
    return Event(
        kind=EventKind(report.kind),
        attempt=report.attempt,
        reporter=report.replica,
        reason=Reason.RUN_TIME if timed_out else reason,
        message=_printable(report.message),
        recoverable=report.recoverable,
        run_time=_run_time(report),
    )


def _run_time(report: Report) -> timedelta | None:
    if report.started_at is None or report.ended_at is None:
        return None
    if (report.started_at.tzinfo is None) != (report.ended_at.tzinfo is None):
        return None
    return report.ended_at - report.started_at


def _printable(message: str | None) -> str | None:
    # PostgreSQL's text holds every character but this one.
    return message.replace("\x00", "\ufffd") if message else message


def _analysis(
    task: Task, report: Report, *, version: str, customer_id: UUID
) -> NewAnalysis:
    found = report.analysis
    assert found is not None  # noqa: S101  (the caller looked; this tells mypy)
    result_ref = next((r.sha256 for r in found.references if r.kind == "result"), None)
    files = [
        reference.model_dump(mode="json", exclude={"receipt"})
        for reference in found.references
        if reference.kind != "result"
    ]
    return NewAnalysis(
        id=uuid7(),
        values={
            "sample_sha256": task.sample_sha256,
            "worker_id": task.worker_id,
            "customer_id": customer_id,
            "agent_name": report.worker,
            "agent_version": version,
            "score": found.score,
            "result": found.result,
            "result_ref": result_ref,
            "tags": [tag.model_dump() for tag in found.tags],
            "detections": [detection.model_dump() for detection in found.detections],
            "possible_detections": found.possible_detections,
            "status_override": found.override,
            "profile": found.profile,
            "internet_access": found.internet_access,
            "files": files,
        },
    )


def _link(change: Change, analysis: NewAnalysis) -> Link:
    return Link(
        task_id=change.after.id,
        analysis_id=analysis.id,
        attempt=change.after.attempt,
        late=change.move is Move.LATE,
    )


def _refused(report: Report, reason: str) -> Rejected:
    return Rejected(reason=reason, body=report.model_dump_json().encode())
