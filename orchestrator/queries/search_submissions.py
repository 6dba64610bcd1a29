"""
The list of all submissions that somebody may see, by words, time and order.

In its usual order a page is read off an index of each customer's submissions, and off
one of those in whose access lists the viewer is: however much others have brought, it
is not looked at. Words are found as ``keywords.py`` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    and_,
    false,
    not_,
    select,
    text,
    union_all,
)

from orchestrator.db.access import of_customers, visible_submissions
from orchestrator.db.bulk import one_of
from orchestrator.db.tables import SUBMISSIONS_WITH_ACL, submission
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.policy import Tlp
from orchestrator.domain.viewer import Viewer
from orchestrator.queries.keywords import (
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
from orchestrator.queries.lists import (
    LIST_MAX,
    UNCOUNTED,
    Page,
    Paging,
    Period,
    count,
    count_bound,
    fetch_page,
    order_by,
)
from orchestrator.queries.submissions import (
    LISTING,
    SubmissionView,
    select_submissions,
    views_of,
)

#: What tells the newest, and what of them words are looked for in.
_COLUMNS = (submission.c.id, submission.c.sample_sha256, submission.c.observed_at)


def search_submissions(
    tx: Transaction, words: Words, period: Period, paging: Paging, *, viewer: Viewer
) -> Page[SubmissionView]:
    """
    Return one page of all submissions that the viewer may see.

    Args:
        period: When they were observed.

    Raises:
        InvalidError: The order or a field to search in is unknown, or everything was
            asked for and more match than one list may hold.
    """
    seen = [visible_submissions(viewer), *period.has(submission.c.observed_at)]
    every, is_whole = select_submissions(), True
    if words.keywords:
        found = _holding(tx, words, period, paging, viewer)
        seen, is_whole = [one_of(submission.c.id, found.keys)], found.is_whole
    elif _is_by_age(paging):
        total = count(tx, _newest(viewer, period, count_bound(paging) + 1), paging)
        # Only as far as the page: the rest of the index is not read.
        size = paging.limit or LIST_MAX
        newest = _newest(viewer, period, paging.offset + size)
        page = newest.limit(size).offset(paging.offset).subquery()
        listed = every.where(submission.c.id.in_(select(page.c.id)))
        rows = tx.connection.execute(listed.order_by(*order_by((), LISTING))).all()
        return Page(items=views_of(tx, rows), total=total)
    rows, total = fetch_page(tx, LISTING, every, *seen, paging=paging)
    return Page(items=views_of(tx, rows), total=total if is_whole else UNCOUNTED)


def _is_by_age(paging: Paging) -> bool:
    return paging.order in {(), (LISTING.default,)}


def _newest(viewer: Viewer, period: Period, reach: int) -> Select[Any]:
    """Return the newest of what the viewer may see, the newest first."""
    within = period.has(submission.c.observed_at)
    if viewer.customer_ids is None:
        return _first(select(*_COLUMNS).where(*within), reach)
    of_each = [
        _first(
            select(*_COLUMNS).where(submission.c.customer_id == customer_id, *within),
            reach,
        )
        for customer_id in sorted(viewer.customer_ids)
    ]
    if not viewer.is_limited:
        of_each.append(_first(_named(viewer, within), reach))
    if not of_each:
        return select(*_COLUMNS).where(false())
    every = union_all(*(select(part.subquery()) for part in of_each)).subquery()
    return _first(select(every), reach)


def _named(viewer: Viewer, within: Sequence[ColumnElement[bool]]) -> Select[Any]:
    # All of them first: to a planner that looks for the newest, an index of everybody's
    # seems to have one soon.
    named = (
        select(*_COLUMNS)
        .where(
            submission.c.acl.contains([viewer.user_id]),
            text(SUBMISSIONS_WITH_ACL),
            not_(of_customers(submission, viewer)),
            *within,
        )
        .cte("named")
        .prefix_with("MATERIALIZED")
    )
    return select(named)


def _first(statement: Select[Any], reach: int) -> Select[Any]:
    columns = statement.selected_columns
    by_age = columns.observed_at.desc(), columns.id.desc()
    return statement.order_by(*by_age).limit(reach)


def _holding(
    tx: Transaction, words: Words, period: Period, paging: Paging, viewer: Viewer
) -> Newest:
    seen = [visible_submissions(viewer), *period.has(submission.c.observed_at)]
    places = _places(_newest(viewer, period, LIST_MAX), and_(*seen))
    rare = find(tx, words, places)
    if rare is not None:
        return Newest(keys=list(rare), is_whole=True)
    is_page = _is_by_age(paging) and paging.limit
    return find_newest(
        tx,
        words,
        places,
        lambda reach: select(_newest(viewer, period, reach).subquery().c.id),
        wanted=paging.offset + paging.limit if is_page else LIST_MAX,
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
