"""
Moves tasks from the backlog to the broker, never more of a worker's than its window.

Count, claim, mark published, commit; then publish; then un-mark what the broker
refused. A crash after the commit leaves an attempt that nobody holds:
``flow/recover.py`` finds it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid5

from orchestrator.contracts.assignment import AssignedSample, Assignment
from orchestrator.db import backlog, stream
from orchestrator.db.backlog import Claim, Desk, Load
from orchestrator.db.unit_of_work import Database, Transaction
from orchestrator.domain.window import PACE, window
from orchestrator.flow.ports import AssignmentPublisher, Engine
from orchestrator.messaging.outgoing import Outgoing
from orchestrator.store import Locator

#: At most this many in one claim, of all workers: the transaction stays short.
_CLAIM_MAX = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class DispatchOutcome:
    """
    What one round did. ``error``: what the broker said last, without secrets.

    ``more``: the claim was cut short, so another round has work at once. ``spoilt``:
    workers whose queue is not as it must be; they are to be left out for a while.
    """

    published: tuple[Claim, ...] = ()
    refused: int = 0
    error: str | None = None
    more: bool = False
    spoilt: frozenset[str] = frozenset()


def dispatch(
    database: Database,
    publisher: AssignmentPublisher,
    *,
    engine: Engine,
    locate: Locator,
    leave_out: Collection[str] = (),
) -> DispatchOutcome:
    """
    Fill every worker's window from its backlog, once around.

    Args:
        leave_out: Short names of workers that get nothing in this round.

    Raises:
        OperationalError: The database is away; safe to retry.
    """
    with database.uow() as tx:
        desks = {
            desk.worker_id: desk
            for desk in backlog.find_desks(tx, alive_after=tx.now - engine.limits.lease)
            if desk.short_name not in leave_out
        }
        claims = _claim(tx, list(desks.values()), engine=engine)
        # Last: the consumer writes this row too, and waits no longer than the commit.
        stream.mark_dispatched(tx)
        published_at = tx.now
    messages = [
        _outgoing(desks[claim.worker_id], claim, engine=engine, locate=locate)
        for claim in claims
    ]
    result = publisher.publish(messages)
    if result.refused:
        _give_back(database, result.refused, published_at=published_at)
    refused = {outgoing.task_id for outgoing in result.refused}
    return DispatchOutcome(
        published=tuple(claim for claim in claims if claim.task_id not in refused),
        refused=len(result.refused),
        error=result.error,
        more=len(claims) == _CLAIM_MAX,
        spoilt=result.spoilt,
    )


def _claim(tx: Transaction, desks: Sequence[Desk], *, engine: Engine) -> list[Claim]:
    if not desks:
        return []
    backlog.lock_desks(tx, desks)
    most = engine.limits.window_max
    loads = backlog.count_loads(tx, desks, since=tx.now - PACE, limit=most)
    free = {
        desk.worker_id: _room(desk, loads[desk.worker_id], most=most) for desk in desks
    }
    open_desks = {worker_id: room for worker_id, room in free.items() if room > 0}
    return backlog.claim(tx, open_desks, limit=_CLAIM_MAX)


def _room(desk: Desk, load: Load, *, most: int) -> int:
    allowed = window(
        slots=desk.slots, finished=load.finished, most=most, cap=desk.window_cap
    )
    return allowed - load.in_flight


def _give_back(
    database: Database, refused: Sequence[Outgoing], *, published_at: datetime
) -> None:
    with database.uow() as tx:
        attempts = [(outgoing.task_id, outgoing.attempt) for outgoing in refused]
        backlog.unpublish(tx, attempts, published_at=published_at)


def _outgoing(desk: Desk, claim: Claim, *, engine: Engine, locate: Locator) -> Outgoing:
    assignment = Assignment(
        job_id=claim.job_id,
        task_id=claim.task_id,
        attempt=claim.attempt,
        worker=desk.short_name,
        sample=AssignedSample(
            sha256=claim.sample_sha256,
            size=claim.size_bytes,
            file_name=claim.file_name,
            where=locate(claim.sample_sha256, claim.task_id, claim.attempt),
        ),
        classification=claim.classification,
        options=claim.options,
        alone=claim.alone,
        # A worker may know which samples belong together, and not whose they are.
        customer=uuid5(claim.customer_id, desk.short_name),
        timeout_seconds=desk.run_seconds or engine.limits.run_seconds,
    )
    return Outgoing(
        worker=desk.short_name,
        job_id=claim.job_id,
        task_id=claim.task_id,
        attempt=claim.attempt,
        sample_sha256=claim.sample_sha256,
        token=engine.keys.attempt_token(claim.task_id, claim.attempt, desk.short_name),
        body=assignment.model_dump_json(),
        secrets=engine.keys.enrolment_secrets(desk.short_name, desk.generation),
    )
