"""
The audit trail: who changed what by hand, when and from where; who took files out, and
who was not let in.

Written in the transaction of the change, so that neither is there without the other.
What a clock or a report changes is the history's (``db/history.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from sqlalchemy import insert, update

from orchestrator.db.tables import audit
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.values import Actor


class Action(StrEnum):
    """Everything that leaves a row. A test makes one of each."""

    JOB_CANCEL = "job.cancel"
    JOB_RETRY = "job.retry"
    TASK_CANCEL = "task.cancel"
    WORKER_REGISTER = "worker.register"
    #: A new enrolment secret, which ends the one before.
    WORKER_ENROL = "worker.enrol"
    WORKER_UPDATE = "worker.update"
    WORKER_DELETE = "worker.delete"
    WORKER_PAUSE = "worker.pause"
    WORKER_RESUME = "worker.resume"
    #: A replica shall take nothing more, or may again.
    REPLICA_DRAIN = "replica.drain"
    REPLICA_UNDRAIN = "replica.undrain"
    POLICY_UPDATE = "policy.update"
    RULE_ADD = "rule.add"
    RULE_UPDATE = "rule.update"
    RULE_DELETE = "rule.delete"
    CUSTOMER_ADD = "customer.add"
    KEY_CREATE = "key.create"
    KEY_REVOKE = "key.revoke"
    POISON_CLEAR = "poison.clear"
    VERDICT_SET = "verdict.set"
    DATABASE_UPGRADE = "database.upgrade"
    #: Bytes that left, as they are or in an archive.
    SAMPLE_DOWNLOAD = "sample.download"
    EVIDENCE_DOWNLOAD = "evidence.download"
    #: A person's word on what kind of file it is.
    SAMPLE_RECLASSIFY = "sample.reclassify"
    WEBHOOK_ADD = "webhook.add"
    WEBHOOK_REMOVE = "webhook.remove"
    #: A key that is not good, or not from there.
    LOGIN_FAIL = "login.fail"


def record(
    tx: Transaction,
    actor: Actor,
    action: Action,
    changed: object,
    detail: Mapping[str, object] | None = None,
) -> int:
    """
    Add a row to the audit trail, and return its id. Call it only when something has
    changed.

    Args:
        changed: Id or name of what was changed.
        detail: JSON for people: what was changed about it. Never a secret.
    """
    added = (
        insert(audit)
        .values(
            actor=actor.name,
            source=actor.source,
            action=action.value,
            object=str(changed),
            detail=dict(detail or {}),
        )
        .returning(audit.c.id)
    )
    return int(tx.connection.execute(added).scalar_one())


def amend(tx: Transaction, row_id: int, detail: Mapping[str, object]) -> None:
    """Say anew what a row of one's own counts."""
    tx.connection.execute(
        update(audit).where(audit.c.id == row_id).values(detail=dict(detail))
    )
