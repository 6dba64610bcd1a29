"""
Clearing poison: letting a worker look again at a sample that its version died of.

Deaths are counted by ``flow/ingest.py``; what is poison is refused by selection.
"""

from __future__ import annotations

from sqlalchemy import select, update

from orchestrator.catalog.workers import get_worker_row
from orchestrator.db import audit
from orchestrator.db.audit import Action
from orchestrator.db.tables import poison
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import NotFoundError
from orchestrator.domain.values import Actor


def clear_poison(
    tx: Transaction, sample_sha256: str, worker_name: str, *, actor: Actor
) -> int:
    """
    Let a worker look at a sample again, whatever versions died of it; deaths are
    counted anew. What has ended stays so until somebody retries the job.

    Returns:
        How many versions were cleared; 0 if all had been before.

    Raises:
        UnknownWorkerError: No worker has this name or id.
        NotFoundError: The sample never was poison for this worker.
    """
    found = get_worker_row(tx, worker_name)
    of_pair = (
        poison.c.sample_sha256 == sample_sha256,
        poison.c.worker_id == found.id,
        poison.c.poisoned_at.is_not(None),
    )
    if tx.connection.execute(select(poison.c.version).where(*of_pair)).first() is None:
        raise NotFoundError(
            f"{sample_sha256} is no poison for {found.short_name}", field="sha256"
        )
    cleared = tx.connection.execute(
        update(poison)
        .where(*of_pair, poison.c.cleared_at.is_(None))
        .values(cleared_at=tx.now, cleared_by=actor.name)
        .returning(poison.c.version)
    )
    versions = sorted(cleared.scalars())
    if versions:
        detail = {"worker": found.short_name, "versions": versions}
        audit.record(tx, actor, Action.POISON_CLEAR, sample_sha256, detail)
    return len(versions)
