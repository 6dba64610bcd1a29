"""
Draining replicas by hand: they finish what they have in hand and take nothing more,
until they are told to end. What they say of themselves is ``flow/heartbeats.py``'s.
"""

from __future__ import annotations

from orchestrator.db import audit, workers
from orchestrator.db.audit import Action
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.values import Actor
from orchestrator.flow.heartbeats import notify_drain


def drain_replica(tx: Transaction, replica: str, *, drain: bool, actor: Actor) -> None:
    """
    Let a replica take nothing more, or work again. A repeat is the same.

    Raises:
        NotFoundError: There is no such replica.
    """
    worker_id, has_changed = workers.set_draining(tx, replica, drain=drain)
    # Also where nothing has changed: whoever asks again may have seen that it was lost.
    notify_drain(tx, replica, drain=drain)
    if not has_changed:
        return
    # The window has changed.
    tx.notify("work")
    action = Action.REPLICA_DRAIN if drain else Action.REPLICA_UNDRAIN
    audit.record(tx, actor, action, replica)
    tx.changed.workers.add(worker_id)
