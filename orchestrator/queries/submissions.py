"""
Reading the submissions of a sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, select

from orchestrator.db.access import visible_submissions
from orchestrator.db.samples import get_sample_size
from orchestrator.db.tables import customer, submission
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

LISTING = Listing(
    table=submission,
    sorts={
        "observedTimestamp": submission.c.observed_at,
        "submittedTimestamp": submission.c.created_at,
        "expiryTimestamp": submission.c.expires_at,
        "fileName": submission.c.file_name,
        "mimeType": submission.c.mime_type,
    },
    default=Order(name="observedTimestamp", descending=True),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmissionView:
    """Somebody saw the sample. ``job_id``: what it led to, while that is kept."""

    id: UUID
    sample_sha256: str
    customer: Customer
    file_name: str
    mime_type: str
    metadata: Mapping[str, str]
    tlp: str
    acl: tuple[UserView, ...]
    agent_name: str
    agent_version: str
    job_id: UUID | None
    created_by: UserView | None
    observed_at: datetime
    created_at: datetime
    expires_at: datetime | None


def list_of_sample(
    tx: Transaction, sha256: str, paging: Paging, *, viewer: Viewer
) -> Page[SubmissionView]:
    """
    Return one page of a sample's submissions that the viewer may see, newest first.

    Raises:
        NotFoundError: There is no such sample.
    """
    get_sample_size(tx, sha256)
    of_sample = submission.c.sample_sha256 == sha256
    seen = visible_submissions(viewer)
    rows, total = fetch_page(
        tx, LISTING, select_submissions(), of_sample, seen, paging=paging
    )
    return Page(items=views_of(tx, rows), total=total)


def get_submission(
    tx: Transaction, sha256: str, submission_id: UUID, *, viewer: Viewer
) -> SubmissionView:
    """
    Return one submission.

    Raises:
        NotFoundError: The sample has no such submission.
        PermissionDeniedError: It is not for the viewer.
    """
    seen = visible_submissions(viewer).label("is_visible")
    rows = tx.connection.execute(
        select_submissions()
        .add_columns(seen)
        .where(submission.c.id == submission_id, submission.c.sample_sha256 == sha256)
    ).all()
    if not rows:
        raise NotFoundError(
            f"sample {sha256} has no submission {submission_id}", field="id"
        )
    if not rows[0].is_visible:
        raise PermissionDeniedError(
            f"submission {submission_id} is another customer's", field="id"
        )
    return views_of(tx, rows)[0]


def select_submissions() -> Select[Any]:
    """Return what reads submissions, for :func:`views_of`."""
    return select(submission, *customer_columns()).join_from(submission, customer)


def views_of(tx: Transaction, rows: Sequence[Row[Any]]) -> tuple[SubmissionView, ...]:
    """Return what was read, with the users whom it names."""
    named = {user_id for row in rows for user_id in row.acl}
    users = find_users(tx, named | {row.created_by for row in rows})
    return tuple(_view(row, users) for row in rows)


def _view(row: Row[Any], users: Mapping[UUID | None, UserView]) -> SubmissionView:
    return SubmissionView(
        id=row.id,
        sample_sha256=row.sample_sha256,
        customer=customer_view(row),
        file_name=row.file_name,
        mime_type=row.mime_type,
        metadata=row.meta,
        tlp=row.tlp,
        acl=tuple(users[user_id] for user_id in row.acl),
        agent_name=row.agent_name,
        agent_version=row.agent_version,
        job_id=row.job_id,
        created_by=users.get(row.created_by),
        observed_at=row.observed_at,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
