"""
Moves tasks from the backlog to the broker, never more of a worker's than its window.

Count, claim, mark published, commit; then publish; then un-mark what the broker
refused. A crash after the commit leaves an attempt that nobody holds:
``flow/recover.py`` finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.contracts.assignment import (
    AssignedSample,
    Assignment,
    Classification,
    Where,
)
from orchestrator.db import backlog, stream
from orchestrator.db.backlog import Claim, Desk
from orchestrator.db.unit_of_work import Database, Transaction
from orchestrator.flow.ports import AssignmentPublisher, Engine
from orchestrator.messaging.outgoing import Outgoing

#: Where a replica finds the bytes of a claimed task's sample.
Locator = Callable[[Claim], Where]

#: A worker's finished tasks of this long are added to its window: fast analyses need
#: more of them on the way.
PACE = timedelta(seconds=1)

#: At most this many in one claim: the transaction stays short.
_CLAIM_MAX = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class DispatchOutcome:
    """
    What one round did. ``error``: what the broker said last, without secrets.

    ``more``: a claim was cut short, so another round has work at once.
    """

    published: int = 0
    refused: int = 0
    error: str | None = None
    more: bool = False

    def __add__(self, other: DispatchOutcome) -> DispatchOutcome:
        return DispatchOutcome(
            published=self.published + other.published,
            refused=self.refused + other.refused,
            error=other.error or self.error,
            more=self.more or other.more,
        )


def window(*, slots: int, finished: int, most: int, cap: int | None) -> int:
    """
    Return how many attempts of a worker may be published and not over.

    Args:
        slots: Of its live replicas together; without one there is no window.
        finished: What it finished in the last second.
        most: ``ASSAY_WINDOW_MAX``. ``cap``: an administrator's, for this worker.
    """
    if slots == 0:
        return 0
    return min(slots * 2 + finished, most if cap is None else min(most, cap))


def dispatch(
    database: Database,
    publisher: AssignmentPublisher,
    *,
    engine: Engine,
    locate: Locator,
) -> DispatchOutcome:
    """
    Fill every worker's window from its backlog, once around.

    Raises:
        OperationalError: The database is away; safe to retry.
    """
    with database.uow() as tx:
        desks = backlog.find_desks(tx, alive_after=tx.now - engine.limits.lease)
        stream.mark_dispatched(tx)
    outcome = DispatchOutcome()
    for desk in desks:
        outcome += _serve(database, publisher, desk, engine=engine, locate=locate)
    return outcome


def _serve(
    database: Database,
    publisher: AssignmentPublisher,
    desk: Desk,
    *,
    engine: Engine,
    locate: Locator,
) -> DispatchOutcome:
    with database.uow() as tx:
        claims = _claim(tx, desk, engine=engine)
        published_at = tx.now
    if not claims:
        return DispatchOutcome()
    messages = [_outgoing(desk, one, engine=engine, locate=locate) for one in claims]
    result = publisher.publish(messages)
    if result.refused:
        _give_back(database, result.refused, published_at=published_at)
    return DispatchOutcome(
        published=len(messages) - len(result.refused),
        refused=len(result.refused),
        error=result.error,
        more=len(claims) == _CLAIM_MAX,
    )


def _claim(tx: Transaction, desk: Desk, *, engine: Engine) -> list[Claim]:
    backlog.lock_desk(tx, desk.worker_id)
    most = engine.limits.window_max
    finished = backlog.count_finished_since(
        tx, desk.worker_id, since=tx.now - PACE, limit=most
    )
    allowed = window(
        slots=desk.slots, finished=finished, most=most, cap=desk.window_cap
    )
    free = allowed - backlog.count_in_flight(tx, desk.worker_id)
    if free <= 0:
        return []
    return backlog.claim(tx, desk.worker_id, limit=min(free, _CLAIM_MAX))


def _give_back(
    database: Database, refused: Sequence[Outgoing], *, published_at: datetime
) -> None:
    with database.uow() as tx:
        attempts = [(one.task_id, one.attempt) for one in refused]
        backlog.unpublish(tx, attempts, published_at=published_at)


def _outgoing(desk: Desk, one: Claim, *, engine: Engine, locate: Locator) -> Outgoing:
    assignment = Assignment(
        job_id=one.job_id,
        task_id=one.task_id,
        attempt=one.attempt,
        worker=desk.short_name,
        sample=AssignedSample(
            sha256=one.sample_sha256,
            size=one.size_bytes,
            file_name=one.file_name,
            where=locate(one),
        ),
        classification=_classification(one),
        options=one.options,
        timeout_seconds=desk.run_seconds or engine.limits.run_seconds,
    )
    return Outgoing(
        worker=desk.short_name,
        task_id=one.task_id,
        attempt=one.attempt,
        token=engine.keys.attempt_token(one.task_id, one.attempt, desk.short_name),
        body=assignment.model_dump_json(),
    )


def _classification(one: Claim) -> Classification:
    if one.type is None:
        return Classification()
    return Classification(
        type=one.type,
        super_type=one.super_type or "unknown",
        platform=one.platform or "any",
        arch=one.arch or "any",
        mime_type=one.mime_type or "application/octet-stream",
    )
