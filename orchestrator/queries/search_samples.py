"""
The list of samples that somebody may see, by words, time and order.

Without words and in its usual order a page is read off one index. Words are found as
``keywords.py`` does. Another order is that of the newest samples of the period, as many
as a list may hold.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    Subquery,
    Table,
    and_,
    exists,
    false,
    func,
    not_,
    select,
    true,
    union,
)

from orchestrator.db.access import (
    visible_findings,
    visible_submissions,
    visible_words,
)
from orchestrator.db.bulk import one_of
from orchestrator.db.tables import (
    ANALYSES_WITH_WORDS,
    VERDICTS_WITH_WORDS,
    analysis,
    classification,
    link,
    sample,
    sample_access,
    submission,
    verdict,
    verdict_input,
    worker,
)
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import InvalidError
from orchestrator.domain.viewer import Viewer
from orchestrator.queries.keywords import (
    DIGITS,
    Digits,
    Place,
    Texts,
    Words,
    find,
    find_newest,
)
from orchestrator.queries.lists import (
    LIST_MAX,
    UNCOUNTED,
    Order,
    Page,
    Paging,
    Period,
    check_whole,
    count,
    count_bound,
)
from orchestrator.queries.samples import SampleView, find_samples

_DEFAULT = (Order(name="sampleCreatedTimestamp", descending=True),)


def _newest_of(table: Table, visible: ColumnElement[bool]) -> ColumnElement[Any]:
    newest: ColumnElement[Any] = (
        select(func.max(table.c.created_at))
        .where(table.c.sample_sha256 == sample.c.sha256, visible)
        .scalar_subquery()
    )
    return newest


def _sorts(viewer: Viewer) -> Mapping[str, ColumnElement[Any]]:
    # By what the viewer may see: an order tells when something else came.
    return {
        "sampleCreatedTimestamp": sample.c.created_at,
        "sampleSize": sample.c.size_bytes,
        "sampleClassificationType": (
            select(classification.c.type)
            .where(classification.c.sample_sha256 == sample.c.sha256)
            .order_by(classification.c.created_at.desc())
            .limit(1)
            .scalar_subquery()
        ),
        "lastUpdatedSubmission": _newest_of(submission, visible_submissions(viewer)),
        "lastUpdatedAnalysis": _newest_of(analysis, visible_findings(analysis, viewer)),
        "lastUpdatedLink": _newest_of(link, visible_findings(link, viewer)),
    }


def search_samples(
    tx: Transaction, words: Words, period: Period, paging: Paging, *, viewer: Viewer
) -> Page[SampleView]:
    """
    Return one page of the samples that the viewer may see.

    Args:
        period: When they came first.

    Raises:
        InvalidError: The order or a field to search in is unknown, or everything was
            asked for and more match than one list may hold.
    """
    order = paging.order or _DEFAULT
    if words.keywords:
        found = _found(tx, words, period, paging, viewer)
        among, total = found.among(viewer, period), found.total
        listed = _in_order(among, order, viewer)
    elif order != _DEFAULT:
        listed = _in_order(_visible(viewer, period, LIST_MAX), order, viewer)
        total = count(tx, listed, paging)
    else:
        total = count(tx, _visible(viewer, period, count_bound(paging) + 1), paging)
        # Only as far as the page: the rest of the index is not read.
        listed = _visible(viewer, period, paging.offset + (paging.limit or LIST_MAX))
    total = count(tx, listed, paging) if total is None else check_whole(paging, total)
    page = listed.limit(paging.limit or LIST_MAX).offset(paging.offset)
    sha256s = list(tx.connection.execute(page).scalars())
    views = find_samples(tx, sha256s, viewer=viewer)
    return Page(items=tuple(views[sha256] for sha256 in sha256s), total=total)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """Samples with the words; ``total``: -1 for more, ``None``: count what is seen."""

    sha256s: Collection[str]
    total: int | None

    def among(self, viewer: Viewer, period: Period) -> Select[Any]:
        """Return those that the viewer may see."""
        statement = select(sample.c.sha256).where(
            one_of(sample.c.sha256, self.sha256s), *period.has(sample.c.created_at)
        )
        if viewer.customer_ids is None:
            return statement
        granted = exists().where(
            sample_access.c.sample_sha256 == sample.c.sha256,
            sample_access.c.subject_id.in_(viewer.subjects),
        )
        return statement.where(granted)


def _found(
    tx: Transaction, words: Words, period: Period, paging: Paging, viewer: Viewer
) -> _Found:
    places = _places(viewer)
    rare = find(tx, words, places)
    if rare is not None:
        return _Found(sha256s=rare, total=None)
    # One that many have: it turns up soon among the newest, further back if it must.
    is_by_age = paging.order in {(), _DEFAULT}
    wanted = paging.offset + (paging.limit or LIST_MAX) if is_by_age else LIST_MAX
    newest = find_newest(
        tx,
        words,
        places,
        lambda reach: _visible(viewer, period, reach),
        wanted=wanted,
    )
    total = len(newest.keys) if newest.is_whole else UNCOUNTED
    return _Found(sha256s=newest.keys, total=total)


def _visible(viewer: Viewer, period: Period, cap: int) -> Select[Any]:
    """Return the newest visible samples, at most *cap*, the newest first."""
    if viewer.customer_ids is None:
        seen = sample.c.created_at
        newest = select(sample.c.sha256, seen.label("seen_at"))
        return _newest_first(newest.where(*period.has(seen)), seen, cap)
    parts = [_of_subject(subject_id, period, cap) for subject_id in viewer.subjects]
    if not parts:
        nothing = select(sample.c.sha256, sample.c.created_at.label("seen_at"))
        return nothing.where(false())
    every: Subquery = union(*(select(part.subquery()) for part in parts)).subquery()
    statement = select(every.c.sha256, every.c.seen_at)
    ordered = statement.order_by(every.c.seen_at.desc(), every.c.sha256.desc())
    return ordered.limit(cap)


def _of_subject(subject_id: UUID, period: Period, cap: int) -> Select[Any]:
    seen = sample_access.c.sample_created_at
    statement = select(
        sample_access.c.sample_sha256.label("sha256"), seen.label("seen_at")
    ).where(sample_access.c.subject_id == subject_id, *period.has(seen))
    ordered = statement.order_by(seen.desc(), sample_access.c.sample_sha256.desc())
    return ordered.limit(cap)


def _newest_first(
    statement: Select[Any], seen: ColumnElement[Any], cap: int
) -> Select[Any]:
    return statement.order_by(seen.desc(), sample.c.sha256.desc()).limit(cap)


def _in_order(
    candidates: Select[Any], order: tuple[Order, ...], viewer: Viewer
) -> Select[Any]:
    among = candidates.subquery("candidates")
    statement = select(sample.c.sha256).join_from(
        among, sample, sample.c.sha256 == among.c.sha256
    )
    return statement.order_by(*_order_by(order, _sorts(viewer)))


def _places(viewer: Viewer) -> dict[str, Sequence[Place]]:
    # Only in what the viewer may see: a hit tells what is written there.
    return {
        "sha256": [_digits(sample.c.sha256)],
        "sha512": [
            _digits(sample.c.sha512, start=func.left(sample.c.sha512, 16), length=16)
        ],
        "sha1": [_digits(sample.c.sha1)],
        "md5": [_digits(sample.c.md5)],
        "submission": [
            _texts(
                submission,
                ("file_name", "mime_type", "meta"),
                visible=visible_submissions(viewer),
            )
        ],
        "analysis": [
            _texts(
                analysis,
                ("agent_name", "tags"),
                visible=visible_findings(analysis, viewer),
                indexed=ANALYSES_WITH_WORDS,
                known=_is_of_workers_name,
            )
        ],
        "link": [
            _texts(
                link,
                ("type", "reference_sha256"),
                visible=visible_findings(link, viewer),
            )
        ],
        # The contract's; there are none here.
        "fact": [],
        "classification": [
            _texts(classification, ("type", "super_type", "mime_type"), visible=true())
        ],
        "verdict": [
            _texts(
                verdict,
                ("tags", "comment"),
                visible=_is_shown(viewer),
                indexed=VERDICTS_WITH_WORDS,
            )
        ],
    }


def _texts(table: Table, columns: Sequence[str], **more: Any) -> Texts:
    searched = [table.c[name] for name in columns]
    return Texts(table=table, key=table.c.sample_sha256, columns=searched, **more)


def _digits(
    column: Column[Any], *, start: ColumnElement[Any] | None = None, length: int = 0
) -> Digits:
    newest = select(sample).order_by(sample.c.created_at.desc(), sample.c.sha256.desc())
    return Digits(
        key=sample.c.sha256,
        column=column,
        start=column if start is None else start,
        length=length or DIGITS[column.name],
        newest=newest.limit(LIST_MAX),
        visible=true(),
    )


def _is_shown(viewer: Viewer) -> ColumnElement[bool]:
    # A verdict's tags are those of its analyses. Nobody made those of workers: whether
    # the viewer did is null then, and no.
    if viewer.customer_ids is None:
        return true()
    hidden = exists().where(
        verdict_input.c.verdict_id == verdict.c.id,
        analysis.c.id == verdict_input.c.analysis_id,
        not_(func.coalesce(visible_findings(analysis, viewer), false())),
    )
    return and_(not_(hidden), visible_words(viewer))


def _is_of_workers_name(word: str) -> ColumnElement[bool]:
    return exists().where(worker.c.short_name.icontains(word, autoescape=True))


def _order_by(
    order: tuple[Order, ...], sorts: Mapping[str, ColumnElement[Any]]
) -> list[ColumnElement[Any]]:
    unknown = [key.name for key in order if key.name not in sorts]
    if unknown:
        raise InvalidError(
            f"can not sort by '{unknown[0]}'; sort by one of {', '.join(sorts)}",
            field="sortBy",
        )
    columns = [sorts[key.name] for key in order]
    turned = [
        (column.desc() if key.descending else column.asc()).nulls_last()
        for key, column in zip(order, columns, strict=True)
    ]
    return [*turned, sample.c.sha256.desc()]
