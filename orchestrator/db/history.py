"""
What was out of the ordinary: task events, and messages that were refused.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import insert, text

from orchestrator.db.bulk import insert_rows
from orchestrator.db.tables import rejected_report, task_event
from orchestrator.db.unit_of_work import Transaction

#: Bytes of a refused message that are kept, to see what it was; and characters of why.
KEPT_BYTES = 4096
_REASON_CHARACTERS = 500

#: Refused messages of one kind that are kept: of one batch, and in all, the newest.
#: A flood is counted, not stored.
_KEPT_OF_BATCH = 20
KEPT_REJECTED = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class NewEvent:
    """Something out of the ordinary in a task's life; shown by ``task show``."""

    task_id: UUID
    job_id: UUID
    attempt: int
    kind: str
    reason: str | None
    actor: str | None
    message: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """
    A message that changed nothing, and why.

    ``reason`` starts with its kind, one word before a colon, of which there are few;
    the rest may quote the message.
    """

    reason: str
    body: bytes

    @property
    def kind(self) -> str:
        """The first word of the reason; there are few of them."""
        return self.reason.partition(":")[0]


def add_events(tx: Transaction, events: Sequence[NewEvent]) -> None:
    """Append to the history of tasks."""
    rows = [
        {
            "task_id": event.task_id,
            "job_id": event.job_id,
            "attempt": event.attempt,
            "kind": event.kind,
            "reason": event.reason,
            "actor": event.actor,
            "message": event.message,
        }
        for event in events
    ]
    insert_rows(tx, task_event, rows)


def add_rejected(tx: Transaction, rejected: Sequence[Rejected]) -> None:
    """
    Keep refused messages, cut to their first 4 KiB, with the size and hash of all.

    Of each kind the newest thousand stay, and of a batch the first twenty come.
    """
    kept: list[Rejected] = []
    seen: Counter[str] = Counter()
    for message in rejected:
        seen[message.kind] += 1
        if seen[message.kind] <= _KEPT_OF_BATCH:
            kept.append(message)
    if not kept:
        return
    tx.connection.execute(insert(rejected_report), [_row(message) for message in kept])
    tx.connection.execute(_FORGET_REJECTED, {"kept": KEPT_REJECTED})


def _row(message: Rejected) -> dict[str, object]:
    return {
        "kind": message.kind,
        "reason": message.reason.replace("\0", "\ufffd")[:_REASON_CHARACTERS],
        "body": message.body[:KEPT_BYTES],
        "size_bytes": len(message.body),
        "sha256": hashlib.sha256(message.body).hexdigest(),
    }


_FORGET_REJECTED = text(
    """
    DELETE FROM rejected_report WHERE id IN (
        SELECT id FROM (
            SELECT id, row_number() OVER (PARTITION BY kind ORDER BY id DESC) AS place
              FROM rejected_report) AS placed
         WHERE place > :kept)
    """
)
