"""
Links: a sample has to do with another one, which need not be here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal
from uuid import UUID

from sqlalchemy import insert
from uuid_utils.compat import uuid7

from orchestrator.catalog.repeats import find_repeated, hash_content
from orchestrator.db.samples import get_sample_size
from orchestrator.db.tables import link
from orchestrator.db.unit_of_work import Transaction

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
    get_sample_size(tx, new.sample_sha256)
    content_hash = hash_content(asdict(new))
    repeat = find_repeated(
        tx,
        link,
        content_hash,
        link.c.sample_sha256 == new.sample_sha256,
        link.c.created_by == user_id,
    )
    if repeat is not None:
        return repeat
    link_id = uuid7()
    values = {**asdict(new), "acl": list(new.acl), "content_hash": content_hash}
    tx.connection.execute(insert(link).values(id=link_id, created_by=user_id, **values))
    return link_id
