"""
Reading the links of a sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, func, select

from orchestrator.db.access import visible_findings, visible_samples
from orchestrator.db.bulk import one_of
from orchestrator.db.samples import get_sample_size
from orchestrator.db.tables import customer, link, sample
from orchestrator.db.unit_of_work import Transaction
from orchestrator.db.users import (
    Customer,
    UserView,
    customer_columns,
    customer_view,
    find_users,
)
from orchestrator.domain.errors import NotFoundError, PermissionDeniedError
from orchestrator.domain.viewer import Viewer
from orchestrator.queries.lists import Listing, Order, Page, Paging, fetch_page
from orchestrator.queries.samples import SampleView, find_samples

_LISTING = Listing(
    table=link,
    sorts={"createdTimestamp": link.c.created_at},
    default=Order(name="createdTimestamp", descending=True),
)

#: A summary looks at so many links, and says so where there are more.
SUMMARY_MAX = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkView:
    """
    A link.

    ``referenced``: the other sample, where it is here and the viewer may see it.
    ``is_dead``: it is not here.
    """

    id: UUID
    sample_sha256: str
    reference_sha256: str
    referenced: SampleView | None
    is_dead: bool
    type: str
    customer: Customer
    tlp: str
    acl: tuple[UserView, ...]
    agent_name: str
    agent_version: str
    created_by: UserView | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkSummary:
    """``counts``: type to number of links; ``is_whole``: all of them were looked at."""

    counts: Mapping[str, int]
    is_whole: bool


def list_links(
    tx: Transaction, sha256: str, paging: Paging, *, viewer: Viewer
) -> Page[LinkView]:
    """
    Return one page of a sample's links that the viewer may see, newest first.

    Raises:
        NotFoundError: There is no such sample.
    """
    get_sample_size(tx, sha256)
    of_sample = link.c.sample_sha256 == sha256
    seen = visible_findings(link, viewer)
    rows, total = fetch_page(tx, _LISTING, _links(), of_sample, seen, paging=paging)
    return Page(items=_views(tx, rows, viewer), total=total)


def get_link(
    tx: Transaction, sha256: str, link_id: UUID, *, viewer: Viewer
) -> LinkView:
    """
    Return one link.

    Raises:
        NotFoundError: The sample has no such link.
        PermissionDeniedError: It is not for the viewer.
    """
    seen = visible_findings(link, viewer).label("is_visible")
    rows = tx.connection.execute(
        _links()
        .add_columns(seen)
        .where(link.c.id == link_id, link.c.sample_sha256 == sha256)
    ).all()
    if not rows:
        raise NotFoundError(f"sample {sha256} has no link {link_id}", field="id")
    if not rows[0].is_visible:
        raise PermissionDeniedError(f"link {link_id} is not for this key", field="id")
    return _views(tx, rows, viewer)[0]


def summarise_links(tx: Transaction, sha256: str, *, viewer: Viewer) -> LinkSummary:
    """
    Count the newest links of a sample by type.

    Raises:
        NotFoundError: There is no such sample.
    """
    get_sample_size(tx, sha256)
    every = (
        select(link.c.type)
        .where(link.c.sample_sha256 == sha256, visible_findings(link, viewer))
        .order_by(link.c.created_at.desc())
    )
    newest = every.limit(SUMMARY_MAX).subquery()
    rows = tx.connection.execute(
        select(newest.c.type, func.count().label("links"))
        .group_by(newest.c.type)
        .order_by(newest.c.type)
    )
    counts = {row.type: int(row.links) for row in rows}
    more = tx.connection.execute(every.offset(SUMMARY_MAX).limit(1)).first()
    return LinkSummary(counts=counts, is_whole=more is None)


def _links() -> Select[Any]:
    return select(link, *customer_columns()).join_from(link, customer)


def _views(
    tx: Transaction, rows: Sequence[Row[Any]], viewer: Viewer
) -> tuple[LinkView, ...]:
    named = {user_id for row in rows for user_id in row.acl}
    users = find_users(tx, named | {row.created_by for row in rows})
    wanted = {row.reference_sha256 for row in rows}
    here = _known(tx, wanted)
    shown = visible_samples(tx, viewer, here)
    samples = find_samples(tx, sorted(shown), viewer=viewer)
    return tuple(
        LinkView(
            id=row.id,
            sample_sha256=row.sample_sha256,
            reference_sha256=row.reference_sha256,
            referenced=samples.get(row.reference_sha256),
            is_dead=row.reference_sha256 not in here,
            type=row.type,
            customer=customer_view(row),
            tlp=row.tlp,
            acl=tuple(users[user_id] for user_id in row.acl),
            agent_name=row.agent_name,
            agent_version=row.agent_version,
            created_by=users.get(row.created_by),
            created_at=row.created_at,
        )
        for row in rows
    )


def _known(tx: Transaction, sha256s: set[str]) -> set[str]:
    found = select(sample.c.sha256).where(one_of(sample.c.sha256, sha256s))
    return set(tx.connection.execute(found).scalars())
