"""
What is counted of changes, verdicts and refused messages. Pure: it writes no row.
"""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.db import counters
from orchestrator.db.counters import Tally
from orchestrator.db.history import Rejected
from orchestrator.db.verdicts import Rolled
from orchestrator.domain.states import Change, Move
from orchestrator.domain.verdict import Source


def count_changes(tally: Tally, changes: Iterable[Change]) -> None:
    """Count what was reported, lost and ended, and how long it took."""
    for change in changes:
        worker, event = change.before.worker_id, change.event
        if event.is_reported:
            tally.add(counters.REPORTS, worker, event.kind, change.move)
        if change.lost:
            tally.add(counters.LOSSES, worker, event.reason or "")
        if change.move is Move.RETRY:
            tally.add(counters.TASKS_ENQUEUED, worker)
        if change.ended:
            reason = change.after.reason or ""
            tally.add(counters.TASKS_ENDED, worker, change.after.state, reason)
        _measure(tally, change)


def _measure(tally: Tally, change: Change) -> None:
    before, after = change.before, change.after
    if after.started_at is None:
        return
    if before.started_at is None:
        queued = after.started_at - after.queued_at
        tally.observe(counters.QUEUED_SECONDS, queued.total_seconds(), after.worker_id)
    if change.ended and after.ended_at is not None:
        run = after.ended_at - after.started_at
        tally.observe(counters.RUN_SECONDS, run.total_seconds(), after.worker_id)


def count_verdicts(tally: Tally, rolled: Iterable[Rolled]) -> None:
    """Count how much of each job its verdict covers, and what is of an older one."""
    for roll_up in rolled:
        tally.observe(counters.COVERAGE, roll_up.verdict.coverage_percent / 100)
        for part in roll_up.verdict.contributions:
            if part.source is Source.PREVIOUS:
                tally.add(counters.PREVIOUS_RESULTS, part.worker_id, part.why)


def count_rejected(tally: Tally, rejected: Iterable[Rejected]) -> None:
    """Count refused messages by the kind with which their reason starts."""
    for message in rejected:
        tally.add(counters.REPORTS_REJECTED, message.kind)
