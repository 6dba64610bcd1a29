"""
Reading submissions: of one sample, or over all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Row, Select, and_, select

from orchestrator.db.tables import customer, submission
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import NotFoundError, PermissionDeniedError
from orchestrator.domain.policy import Tlp
from orchestrator.flow.access import Viewer, visible_submissions
from orchestrator.flow.keywords import (
    DIGITS,
    Digits,
    Ids,
    Labels,
    Newest,
    Place,
    Texts,
    Words,
    find,
    find_newest,
)
from orchestrator.flow.read import (
    LIST_MAX,
    UNCOUNTED,
    CustomerView,
    Listing,
    Order,
    Page,
    Paging,
    UserView,
    customer_columns,
    customer_view,
    fetch_page,
    get_users,
    one_of,
)
from orchestrator.flow.read_samples import require_sample

_LISTING = Listing(
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
    customer: CustomerView
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """From when to when, both inclusive; ``None`` is unbounded."""

    start: datetime | None = None
    end: datetime | None = None


def list_of_sample(
    tx: Transaction, sha256: str, paging: Paging, *, viewer: Viewer
) -> Page[SubmissionView]:
    """
    Return one page of a sample's submissions that the viewer may see, newest first.

    Raises:
        NotFoundError: There is no such sample.
    """
    require_sample(tx, sha256)
    of_sample = submission.c.sample_sha256 == sha256
    seen = visible_submissions(viewer)
    rows, total = fetch_page(
        tx, _LISTING, _submissions(), of_sample, seen, paging=paging
    )
    return Page(items=_views(tx, rows), total=total)


def search(
    tx: Transaction,
    words: Words,
    window: Window,
    paging: Paging,
    *,
    viewer: Viewer,
) -> Page[SubmissionView]:
    """
    Return one page of all submissions that the viewer may see.

    Args:
        window: When they were observed.

    Raises:
        InvalidError: The order, or a field to search in, is unknown.
    """
    conditions = [visible_submissions(viewer)]
    if window.start is not None:
        conditions.append(submission.c.observed_at >= window.start)
    if window.end is not None:
        conditions.append(submission.c.observed_at <= window.end)
    is_whole = True
    if words.keywords:
        found = _holding(tx, words, conditions, paging)
        conditions, is_whole = [one_of(submission.c.id, found.keys)], found.is_whole
    rows, total = fetch_page(tx, _LISTING, _submissions(), *conditions, paging=paging)
    return Page(items=_views(tx, rows), total=total if is_whole else UNCOUNTED)


def _holding(
    tx: Transaction,
    words: Words,
    conditions: Sequence[ColumnElement[bool]],
    paging: Paging,
) -> Newest:
    def newest(reach: int) -> Select[Any]:
        by_age = submission.c.observed_at.desc(), submission.c.id.desc()
        return select(submission).where(*conditions).order_by(*by_age).limit(reach)

    places = _places(newest(LIST_MAX), and_(*conditions))
    rare = find(tx, words, places)
    if rare is not None:
        return Newest(keys=list(rare), is_whole=True)
    is_by_age = paging.order in {(), (_LISTING.default,)}
    wanted = paging.offset + (paging.limit or LIST_MAX) if is_by_age else LIST_MAX
    return find_newest(
        tx,
        words,
        places,
        lambda reach: select(newest(reach).subquery("newest").c.id),
        wanted=wanted,
    )


def _places(
    newest: Select[Any], visible: ColumnElement[bool]
) -> dict[str, Sequence[Place]]:
    key = submission.c.id

    def texts(column: Column[Any]) -> Sequence[Place]:
        return [Texts(table=submission, key=key, columns=[column], visible=visible)]

    sha256 = submission.c.sample_sha256
    return {
        "id": [Ids(key=key, newest=newest, visible=visible)],
        "sampleSha256": [
            Digits(
                key=key,
                column=sha256,
                start=sha256,
                length=DIGITS["sha256"],
                newest=newest,
                visible=visible,
            )
        ],
        "fileName": texts(submission.c.file_name),
        "mimeType": texts(submission.c.mime_type),
        "metaData": texts(submission.c.meta),
        "tlp": [Labels(key=key, column=submission.c.tlp, values=list(Tlp))],
        "userAgent": texts(submission.c.agent_name),
    }


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
        _submissions()
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
    return _views(tx, rows)[0]


def _submissions() -> Select[Any]:
    return select(submission, *customer_columns()).join_from(submission, customer)


def _views(tx: Transaction, rows: Sequence[Row[Any]]) -> tuple[SubmissionView, ...]:
    named = {user_id for row in rows for user_id in row.acl}
    users = get_users(tx, named | {row.created_by for row in rows})
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
        acl=tuple(users[one] for one in row.acl),
        agent_name=row.agent_name,
        agent_version=row.agent_version,
        job_id=row.job_id,
        created_by=users.get(row.created_by),
        observed_at=row.observed_at,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
