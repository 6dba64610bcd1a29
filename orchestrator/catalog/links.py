"""
Links: a sample has to do with another one, which need not be here.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal
from uuid import UUID

from sqlalchemy import insert, select, text
from uuid_utils.compat import uuid7

from orchestrator.catalog.analyses import REPEAT_WINDOW
from orchestrator.db.tables import link
from orchestrator.db.unit_of_work import Transaction
from orchestrator.queries.samples import require_sample

LinkType = Literal["parent", "child", "downloads", "loads", "executes"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewLink:
    """A link of *type* from a sample to the sample with the hash *reference*."""

    sample_sha256: str
    reference_sha256: str
    type: LinkType
    customer_id: UUID
    agent_name: str
    agent_version: str
    tlp: str
    acl: tuple[UUID, ...] = ()


def add_link(tx: Transaction, new: NewLink, *, user_id: UUID) -> UUID:
    """
    Store a link; the same one by the same user within 10 min is the first one.

    Raises:
        NotFoundError: There is no such sample.
    """
    require_sample(tx, new.sample_sha256)
    content = json.dumps(asdict(new), sort_keys=True, default=str)
    content_hash = hashlib.sha256(content.encode()).hexdigest()
    # Two copies of one request at once: the second waits, and then finds the first.
    tx.connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"),
        {"key": f"link {user_id} {content_hash}"},
    )
    repeat = _find_repeat(tx, new.sample_sha256, content_hash, user_id=user_id)
    if repeat is not None:
        return repeat
    link_id = UUID(str(uuid7()))
    values = {**asdict(new), "acl": list(new.acl), "content_hash": content_hash}
    tx.connection.execute(insert(link).values(id=link_id, created_by=user_id, **values))
    return link_id


def _find_repeat(
    tx: Transaction, sample_sha256: str, content_hash: str, *, user_id: UUID
) -> UUID | None:
    found: UUID | None = tx.connection.execute(
        select(link.c.id)
        .where(
            link.c.sample_sha256 == sample_sha256,
            link.c.created_at > tx.now - REPEAT_WINDOW,
            link.c.created_by == user_id,
            link.c.content_hash == content_hash,
        )
        .limit(1)
    ).scalar_one_or_none()
    return found
