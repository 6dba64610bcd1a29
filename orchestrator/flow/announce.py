"""
Writes what webhooks are to be told, in the transaction of what it tells of.

A job's end and its delivery commit together. Where nobody listens it costs nothing: who
does is read once for as long as it does not change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from uuid_utils.compat import uuid7

from orchestrator.db import verdicts, webhooks
from orchestrator.db.access import find_subjects_of_samples
from orchestrator.db.jobs import JobRow
from orchestrator.db.unit_of_work import Transaction
from orchestrator.db.verdicts import CurrentVerdict
from orchestrator.db.webhooks import Listening, NewDelivery
from orchestrator.domain.states import Change
from orchestrator.domain.values import JobState, TaskState
from orchestrator.domain.webhooks import Occasion

_OF_JOBS = {
    JobState.DONE: Occasion.JOB_DONE,
    JobState.TIMEOUT: Occasion.JOB_TIMEOUT,
}
_OF_TASKS = {
    TaskState.FAILED: Occasion.TASK_FAILED,
    TaskState.TIMEOUT: Occasion.TASK_TIMEOUT,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _News:
    """What is told, and to whose webhooks."""

    occasion: Occasion
    customer_ids: Collection[UUID]
    job_id: UUID | None = None
    task_id: UUID | None = None
    verdict_id: UUID | None = None


def announce_ends(
    tx: Transaction,
    jobs: Sequence[JobRow],
    states: Mapping[UUID, JobState],
    changes: Sequence[Change],
) -> None:
    """
    Tell of tasks that have ended badly, and then of jobs that are over.

    Args:
        jobs: Those of the tasks.
        states: Of those jobs whose state has changed, the new one.
    """
    listening = _listening(tx)
    if not listening:
        return
    customers = {row.id: (row.customer_id,) for row in jobs}
    news = [
        _News(
            occasion=_OF_TASKS[change.after.state],
            customer_ids=customers[change.after.job_id],
            job_id=change.after.job_id,
            task_id=change.after.id,
        )
        for change in changes
        if change.after.state in _OF_TASKS
        and change.before.state is not change.after.state
    ]
    news += [
        _News(occasion=_OF_JOBS[state], customer_ids=customers[job_id], job_id=job_id)
        for job_id, state in states.items()
        if state in _OF_JOBS
    ]
    _write(tx, news, listening)


def verdicts_before(
    tx: Transaction, jobs: Sequence[JobRow]
) -> dict[str, CurrentVerdict] | None:
    """
    Return what is said of the samples of these jobs, for :func:`announce_verdicts`;
    ``None`` where nobody wants to know. The samples are locked.
    """
    listening = _listening(tx)
    if not any(
        (Occasion.VERDICT_CHANGED, row.customer_id) in listening for row in jobs
    ):
        return None
    return verdicts.find_current(tx, {row.sample_sha256 for row in jobs})


def announce_verdicts(
    tx: Transaction,
    jobs: Sequence[JobRow],
    before: Mapping[str, CurrentVerdict] | None,
) -> None:
    """Tell of samples of which these jobs' verdicts say other things than *before*."""
    if before is None:
        return
    customers = {row.id: row.customer_id for row in jobs}
    after = verdicts.find_current(tx, {row.sample_sha256 for row in jobs})
    news = [
        _News(
            occasion=Occasion.VERDICT_CHANGED,
            customer_ids=(customers[current.job_id],),
            job_id=current.job_id,
            verdict_id=current.id,
        )
        for sha256, current in after.items()
        if current.job_id in customers and current.differs(before.get(sha256))
    ]
    _write(tx, news, _listening(tx))


def announce_word(tx: Transaction, sha256: str, before: CurrentVerdict | None) -> None:
    """Tell all who have a sample that somebody said by hand what it is."""
    listening = _listening(tx)
    if not any(occasion is Occasion.VERDICT_CHANGED for occasion, _ in listening):
        return
    current = verdicts.find_current(tx, {sha256})[sha256]
    if not current.differs(before):
        return
    subjects = find_subjects_of_samples(tx, {sha256}).get(sha256, frozenset())
    news = _News(
        occasion=Occasion.VERDICT_CHANGED, customer_ids=subjects, verdict_id=current.id
    )
    _write(tx, [news], listening)


def announce_test(tx: Transaction, webhook_id: UUID) -> UUID:
    """Call a webhook to see whether it works; return the delivery's id."""
    new = NewDelivery(id=uuid7(), webhook_id=webhook_id, occasion=Occasion.TEST)
    webhooks.add_deliveries(tx, [new])
    tx.notify("deliver")
    return new.id


def _listening(tx: Transaction) -> Listening:
    return tx.kept("webhooks", webhooks.list_listening)


def _write(tx: Transaction, news: Iterable[_News], listening: Listening) -> None:
    new = [
        NewDelivery(
            id=uuid7(),
            webhook_id=webhook_id,
            occasion=each.occasion,
            job_id=each.job_id,
            task_id=each.task_id,
            verdict_id=each.verdict_id,
        )
        for each in news
        for customer_id in each.customer_ids
        for webhook_id in listening.get((each.occasion, customer_id), ())
    ]
    if new:
        webhooks.add_deliveries(tx, new)
        tx.notify("deliver")
