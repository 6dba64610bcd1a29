"""
The list of samples that somebody may see, by words, time and order.

Without words and in its usual order a page is read off one index. Otherwise the newest
samples of the window are looked through, as many as a list may hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    Subquery,
    Table,
    exists,
    func,
    select,
    true,
    union,
)

from orchestrator.db.tables import (
    analysis,
    classification,
    link,
    sample,
    sample_access,
    submission,
    verdict,
)
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import InvalidError
from orchestrator.flow.access import (
    Viewer,
    visible_findings,
    visible_submissions,
)
from orchestrator.flow.keywords import Field, Words, in_columns, matching
from orchestrator.flow.read import (
    LIST_MAX,
    UNCOUNTED,
    Order,
    Page,
    Paging,
    count_bound,
)
from orchestrator.flow.read_samples import SampleView, get_samples
from orchestrator.flow.read_submissions import Window

_DEFAULT = (Order(name="sampleCreatedTimestamp", descending=True),)


def _newest_of(table: Table) -> ColumnElement[Any]:
    newest: ColumnElement[Any] = (
        select(func.max(table.c.created_at))
        .where(table.c.sample_sha256 == sample.c.sha256)
        .scalar_subquery()
    )
    return newest


_SORTS: Mapping[str, ColumnElement[Any]] = {
    "sampleCreatedTimestamp": sample.c.created_at,
    "sampleSize": sample.c.size_bytes,
    "sampleClassificationType": (
        select(classification.c.type)
        .where(classification.c.sample_sha256 == sample.c.sha256)
        .order_by(classification.c.created_at.desc())
        .limit(1)
        .scalar_subquery()
    ),
    "lastUpdatedSubmission": _newest_of(submission),
    "lastUpdatedAnalysis": _newest_of(analysis),
    "lastUpdatedLink": _newest_of(link),
}


def search_samples(
    tx: Transaction, words: Words, window: Window, paging: Paging, *, viewer: Viewer
) -> Page[SampleView]:
    """
    Return one page of the samples that the viewer may see.

    Args:
        window: When they came first.

    Raises:
        InvalidError: The order or a field to search in is unknown, or everything was
            asked for and more match than one list may hold.
    """
    order, bound = paging.order or _DEFAULT, count_bound(paging)
    if words.keywords or order != _DEFAULT:
        among = _visible(viewer, window, LIST_MAX)
        found = _looked_through(among, words, order, viewer)
    else:
        found = _visible(viewer, window, bound + 1)
    counted = select(func.count()).select_from(found.limit(bound + 1).subquery())
    total = int(tx.connection.execute(counted).scalar_one())
    if total > bound:
        total = UNCOUNTED
    if not paging.limit and total == UNCOUNTED:
        raise InvalidError(
            f"more than {LIST_MAX} match; ask with a limit, or narrow the window",
            field="limit",
        )
    if not words.keywords and order == _DEFAULT:
        # Only as far as the page: the rest of the index is not read.
        found = _visible(viewer, window, paging.offset + (paging.limit or LIST_MAX))
    page = found.limit(paging.limit or LIST_MAX).offset(paging.offset)
    sha256s = list(tx.connection.execute(page).scalars())
    views = get_samples(tx, sha256s, viewer=viewer)
    return Page(items=tuple(views[one] for one in sha256s), total=total)


def _visible(viewer: Viewer, window: Window, cap: int) -> Select[Any]:
    """Return the newest visible samples, at most *cap*, the newest first."""
    if viewer.customer_ids is None:
        seen = sample.c.created_at
        newest = select(sample.c.sha256, seen.label("seen_at"))
        return _newest_first(newest.where(*_within(seen, window)), seen, cap)
    parts = [_of_subject(one, window, cap) for one in viewer.subjects]
    every: Subquery = union(*(select(part.subquery()) for part in parts)).subquery()
    statement = select(every.c.sha256, every.c.seen_at)
    ordered = statement.order_by(every.c.seen_at.desc(), every.c.sha256.desc())
    return ordered.limit(cap)


def _of_subject(subject_id: UUID, window: Window, cap: int) -> Select[Any]:
    seen = sample_access.c.sample_created_at
    statement = select(
        sample_access.c.sample_sha256.label("sha256"), seen.label("seen_at")
    ).where(sample_access.c.subject_id == subject_id, *_within(seen, window))
    ordered = statement.order_by(seen.desc(), sample_access.c.sample_sha256.desc())
    return ordered.limit(cap)


def _newest_first(
    statement: Select[Any], seen: ColumnElement[Any], cap: int
) -> Select[Any]:
    return statement.order_by(seen.desc(), sample.c.sha256.desc()).limit(cap)


def _within(seen: ColumnElement[Any], window: Window) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if window.start is not None:
        conditions.append(seen >= window.start)
    if window.end is not None:
        conditions.append(seen <= window.end)
    return conditions


def _looked_through(
    candidates: Select[Any], words: Words, order: tuple[Order, ...], viewer: Viewer
) -> Select[Any]:
    among = candidates.subquery("candidates")
    statement = select(sample.c.sha256).join_from(
        among, sample, sample.c.sha256 == among.c.sha256
    )
    if words.keywords:
        statement = statement.where(matching(words, _fields(viewer)))
    return statement.order_by(*_order_by(order))


def _fields(viewer: Viewer) -> dict[str, Field]:
    # Only in what the viewer may see: a hit tells what is written there.
    return {
        "sha256": in_columns(sample.c.sha256),
        "sha512": in_columns(sample.c.sha512),
        "sha1": in_columns(sample.c.sha1),
        "md5": in_columns(sample.c.md5),
        "submission": _in_rows_of(
            submission,
            visible_submissions(viewer),
            in_columns(
                submission.c.file_name, submission.c.mime_type, submission.c.meta
            ),
        ),
        "analysis": _in_rows_of(
            analysis,
            visible_findings(analysis, viewer),
            in_columns(analysis.c.agent_name, analysis.c.tags),
        ),
        "link": _in_rows_of(
            link,
            visible_findings(link, viewer),
            in_columns(link.c.type, link.c.reference_sha256),
        ),
        "classification": _in_rows_of(
            classification,
            true(),
            in_columns(
                classification.c.type,
                classification.c.super_type,
                classification.c.mime_type,
            ),
        ),
        "verdict": _in_rows_of(
            verdict, true(), in_columns(verdict.c.tags, verdict.c.comment)
        ),
    }


def _in_rows_of(table: Table, visible: ColumnElement[bool], field: Field) -> Field:
    def holds(word: str) -> ColumnElement[bool]:
        of_sample = table.c.sample_sha256 == sample.c.sha256
        return exists().where(of_sample, visible, field(word))

    return holds


def _order_by(order: tuple[Order, ...]) -> list[ColumnElement[Any]]:
    unknown = [one.name for one in order if one.name not in _SORTS]
    if unknown:
        raise InvalidError(
            f"can not sort by '{unknown[0]}'; sort by one of {', '.join(_SORTS)}",
            field="sortBy",
        )
    keys = [_SORTS[one.name] for one in order]
    turned = [
        (key.desc() if one.descending else key.asc()).nulls_last()
        for one, key in zip(order, keys, strict=True)
    ]
    return [*turned, sample.c.sha256.desc()]
