"""
The same request twice: a client sends again what got no answer, and the contract has no
key to tell it by. Within ten minutes the second one answers with the first one's row.
"""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Table, select

from orchestrator.db.unit_of_work import Transaction

#: How long a repeat is the first one's.
REPEATED_WITHIN = timedelta(minutes=10)


def hash_content(content: Any) -> str:
    """Return what makes two requests the same; *content* becomes JSON."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def find_repeated(
    tx: Transaction,
    table: Table,
    content_hash: str,
    *conditions: ColumnElement[bool],
) -> UUID | None:
    """
    Return the row that the same request has made, if it did so lately.

    Two copies of one request at once: the second waits, and then finds the first.

    Args:
        table: Has the columns ``id``, ``created_at`` and ``content_hash``.
        conditions: Whose it must be, and of which sample.
    """
    tx.one_at_a_time(f"{table.name} {content_hash}")
    found: UUID | None = tx.connection.execute(
        select(table.c.id)
        .where(
            *conditions,
            table.c.created_at > tx.now - REPEATED_WITHIN,
            table.c.content_hash == content_hash,
        )
        .order_by(table.c.created_at)
        .limit(1)
    ).scalar_one_or_none()
    return found
