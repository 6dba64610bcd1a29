"""
Applies heartbeats: a replica's row, its manifest, and a ``stop`` for what is over.

A heartbeat touches no task. One of a worker that nobody has registered is rejected.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from uuid import UUID

from orchestrator.contracts.alive import Alive, Held
from orchestrator.contracts.assignment import celery_id
from orchestrator.db import tasks, workers
from orchestrator.db.history import Rejected
from orchestrator.db.tasks import PresentAttempt
from orchestrator.db.unit_of_work import Transaction
from orchestrator.flow.roster import Roster
from orchestrator.flow.settle import notify_stop


def apply_heartbeats(
    tx: Transaction, alives: Sequence[Alive], *, roster: Roster
) -> tuple[list[Alive], list[Rejected]]:
    """
    Apply heartbeats in order.

    Returns:
        The newest of each replica; and those of workers that are not registered, or
        have too many replicas, of which nothing was written.
    """
    rejected: list[Rejected] = []
    newest: dict[str, Alive] = {}
    wanted: dict[str, bool] = {}
    for alive in alives:
        known = roster.by_name.get(alive.worker)
        if known is None:
            reason = f"unknown_worker: {alive.worker} is not registered"
            body = alive.model_dump_json().encode()
            rejected.append(Rejected(reason=reason, body=body))
            continue
        saved = _save(tx, known.id, alive)
        if saved is not None:
            newest[alive.replica] = alive
            wanted[alive.replica] = saved.drain
        elif not workers.is_known_replica(tx, alive.replica):
            reason = f"too_many_replicas: {alive.worker} has {workers.REPLICAS_MAX}"
            body = alive.model_dump_json().encode()
            rejected.append(Rejected(reason=reason, body=body))
    for alive in newest.values():
        # Until it says that it has heard: the stop that told it may be lost.
        if alive.draining != wanted[alive.replica] and not alive.leaving:
            notify_drain(tx, alive.replica, drain=wanted[alive.replica])
    return list(newest.values()), rejected


def notify_drain(tx: Transaction, replica: str, *, drain: bool) -> None:
    """Ask the dispatchers to tell a replica to take nothing more, or to work again."""
    told = {"replica": replica, "attempts": [], "drain": drain}
    tx.notify("stop", json.dumps(told))


def stop_what_is_over(tx: Transaction, alives: Iterable[Alive]) -> None:
    """Have replicas told what of that which they list is over, or another's."""
    # An unconfirmed attempt has ended already: only its report is on the way.
    listed = [
        (alive.replica, held)
        for alive in alives
        for held in alive.holds
        if held.state != "unconfirmed"
    ]
    if not listed:
        return
    present = tasks.present_attempts(tx, {held.task_id for _, held in listed})
    over: dict[str, list[str]] = {}
    for replica, held in listed:
        if _is_over(replica, held, present.get(held.task_id)):
            over.setdefault(replica, []).append(celery_id(held.task_id, held.attempt))
    for replica, attempts in over.items():
        notify_stop(tx, replica, attempts)


def _save(tx: Transaction, worker_id: UUID, alive: Alive) -> workers.Saved | None:
    saved = workers.save_heartbeat(
        tx,
        workers.Heartbeat(
            replica=alive.replica,
            worker_id=worker_id,
            version=alive.worker_version,
            slots=alive.slots,
            sequence=alive.sequence,
            holds=[celery_id(held.task_id, held.attempt) for held in alive.holds],
            leaving=alive.leaving,
            aside=alive.aside,
            skew_seconds=alive.skew_seconds,
        ),
    )
    if saved and alive.manifest is not None:
        workers.add_version(tx, worker_id, alive)
    if saved and (alive.sequence == 1 or alive.leaving):
        # A replica came or went: the window has changed.
        tx.notify("work")
        tx.changed.workers.add(worker_id)
    return saved


def _is_over(replica: str, held: Held, present: PresentAttempt | None) -> bool:
    if present is None or present.attempt != held.attempt or present.state.is_final:
        return True
    return present.holder is not None and present.holder != replica
