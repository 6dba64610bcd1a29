"""
What somebody may mean by a few characters: jobs, samples, workers and replicas.

An id or a hash is found by its beginning or its end, a file by its name, all by an
index; the table of tasks is not looked at. What is listed with all its columns, and
searched for in every text, is the other lists' business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    and_,
    cast,
    exists,
    func,
    literal,
    select,
    true,
)

from orchestrator.db.access import of_customers
from orchestrator.db.bulk import one_of
from orchestrator.db.tables import (
    END_LENGTH,
    JOB_END,
    JOB_NAME,
    NAME_LENGTH,
    SAMPLE_END,
    customer,
    job,
    replica,
    sample,
    sample_access,
    worker,
)
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import InvalidError
from orchestrator.domain.viewer import Viewer
from orchestrator.queries.keywords import DIGITS, Words
from orchestrator.queries.lists import Paging, Period
from orchestrator.queries.search_samples import search_samples

Kind = Literal["job", "sample", "worker", "replica"]

#: As many as a person looks through.
FOUND_MAX: Final = 20

#: Fewer digits are in the id of one job of a hundred thousand: of too many.
DIGITS_MIN: Final = 6
#: Fewer characters are in most names.
WORD_MIN: Final = 3
WORD_MAX: Final = 256

_UUID_DIGITS = 32
_HEX = frozenset("0123456789abcdef")
#: After every other character.
_LAST = chr(0x10FFFF)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Something that may be meant; ``title``: what a person knows it by."""

    kind: Kind
    id: str
    title: str


def find(tx: Transaction, wanted: str, *, viewer: Viewer) -> list[Found]:
    """
    Return what may be meant, whatever is meant whole first, at most :data:`FOUND_MAX`.

    Raises:
        InvalidError: It is too short, or too long.
    """
    word = wanted.strip()
    if not WORD_MIN <= len(word) <= WORD_MAX:
        raise InvalidError(
            f"q: give {WORD_MIN} to {WORD_MAX} characters of an id, a hash or a name",
            field="q",
        )
    digits = word.lower().replace("-", "")
    found: dict[tuple[Kind, str], Found] = {}
    for each in _look(tx, word, digits, viewer):
        found.setdefault((each.kind, each.id), each)
    whole = word.lower()
    ordered = sorted(found.values(), key=lambda each: each.id.lower() != whole)
    return ordered[:FOUND_MAX]


def _look(tx: Transaction, word: str, digits: str, viewer: Viewer) -> Iterator[Found]:
    if len(digits) >= DIGITS_MIN and _HEX.issuperset(digits):
        yield from _jobs_by_id(tx, digits, viewer)
        yield from _samples_by_hash(tx, digits, viewer)
    yield from _workers(tx, word)
    yield from _replicas(tx, word)
    yield from _jobs_by_name(tx, word, viewer)
    yield from _samples_by_name(tx, word, viewer)


def _jobs_by_id(tx: Transaction, digits: str, viewer: Viewer) -> Iterator[Found]:
    if len(digits) > _UUID_DIGITS:
        return
    low, high = (UUID(digits.ljust(_UUID_DIGITS, fill)) for fill in "0f")
    whole = func.replace(cast(job.c.id, Text), "-", "")
    ends = and_(_ends(JOB_END, digits), whole.endswith(digits))
    for condition in (job.c.id.between(low, high), ends):
        statement = _jobs(viewer).where(condition).order_by(job.c.id.desc())
        yield from _read_jobs(tx, statement)


def _jobs_by_name(tx: Transaction, word: str, viewer: Viewer) -> Iterator[Found]:
    start = word.lower()[:NAME_LENGTH]
    named = and_(
        job.c.file_name.is_not(None),
        JOB_NAME.bool_op("~>=~")(start),
        JOB_NAME.bool_op("~<~")(start + _LAST),
    )
    # Customer by customer, as the index has them, and of each no more than are shown.
    each = (
        _jobs(viewer)
        .where(job.c.customer_id == customer.c.id, named)
        .order_by(JOB_NAME, job.c.enqueued_at.desc())
        .lateral()
    )
    statement = select(each).select_from(customer).join(each, true())
    if viewer.customer_ids is not None:
        statement = statement.where(customer.c.id.in_(viewer.customer_ids))
    yield from _read_jobs(tx, statement.limit(FOUND_MAX))


def _jobs(viewer: Viewer) -> Select[Any]:
    columns = select(job.c.id, job.c.file_name, job.c.sample_sha256, job.c.state)
    return columns.where(of_customers(job, viewer)).limit(FOUND_MAX)


def _read_jobs(tx: Transaction, statement: Select[Any]) -> Iterator[Found]:
    for row in tx.connection.execute(statement):
        name = row.file_name or row.sample_sha256
        yield Found(kind="job", id=str(row.id), title=f"{name} ({row.state})")


def _samples_by_hash(tx: Transaction, digits: str, viewer: Viewer) -> Iterator[Found]:
    conditions = [
        _begins(sample.c.sha256, digits, DIGITS["sha256"]),
        and_(_ends(SAMPLE_END, digits), sample.c.sha256.endswith(digits)),
        _begins(sample.c.sha1, digits, DIGITS["sha1"]),
        _begins(sample.c.md5, digits, DIGITS["md5"]),
        and_(
            _begins(func.left(sample.c.sha512, 16), digits[:16], 16),
            sample.c.sha512.startswith(digits),
        ),
    ]
    found: list[str] = []
    for condition in conditions:
        statement = select(sample.c.sha256).where(condition, _seen(viewer))
        found += tx.connection.execute(statement.limit(FOUND_MAX)).scalars()
    yield from _titled(tx, found, viewer)


def _samples_by_name(tx: Transaction, word: str, viewer: Viewer) -> Iterator[Found]:
    page = search_samples(
        tx,
        Words(keywords=(word,), fields=("submission",)),
        Period(),
        Paging(limit=FOUND_MAX),
        viewer=viewer,
    )
    yield from _titled(tx, [view.sha256 for view in page.items], viewer)


def _titled(tx: Transaction, sha256s: Sequence[str], viewer: Viewer) -> Iterator[Found]:
    """Give samples the name under which they were analysed last."""
    if not sha256s:
        return
    newest = (
        select(job.c.file_name)
        .where(
            job.c.sample_sha256 == sample.c.sha256,
            job.c.file_name.is_not(None),
            of_customers(job, viewer),
        )
        .order_by(job.c.enqueued_at.desc())
        .limit(1)
        .scalar_subquery()
    )
    statement = select(sample.c.sha256, newest.label("name"), sample.c.size_bytes)
    rows = tx.connection.execute(statement.where(one_of(sample.c.sha256, sha256s)))
    titles = {
        row.sha256: row.name or f"{row.size_bytes} bytes, no name" for row in rows
    }
    for sha256 in sha256s:
        yield Found(kind="sample", id=sha256, title=titles[sha256])


def _workers(tx: Transaction, word: str) -> Iterator[Found]:
    statement = select(worker.c.short_name, worker.c.version).where(
        worker.c.short_name.icontains(word, autoescape=True),
        worker.c.deleted_at.is_(None),
    )
    ordered = statement.order_by(worker.c.short_name).limit(FOUND_MAX)
    for row in tx.connection.execute(ordered):
        title = f"version {row.version}" if row.version else "has never run"
        yield Found(kind="worker", id=row.short_name, title=title)


def _replicas(tx: Transaction, word: str) -> Iterator[Found]:
    statement = (
        select(replica.c.id, worker.c.short_name)
        .join(worker, worker.c.id == replica.c.worker_id)
        .where(replica.c.id.icontains(word, autoescape=True))
        .order_by(replica.c.seen_at.desc())
    )
    for row in tx.connection.execute(statement.limit(FOUND_MAX)):
        yield Found(kind="replica", id=row.id, title=f"of worker {row.short_name}")


def _seen(viewer: Viewer) -> ColumnElement[bool]:
    if viewer.customer_ids is None:
        return true()
    return exists().where(
        sample_access.c.sample_sha256 == sample.c.sha256,
        sample_access.c.subject_id.in_(viewer.subjects),
    )


def _begins(
    column: ColumnElement[Any], digits: str, length: int
) -> ColumnElement[bool]:
    if len(digits) > length:
        return literal(value=False)
    # Bounds as long as what is compared: then no collation disagrees.
    return column.between(digits.ljust(length, "0"), digits.ljust(length, "f"))


def _ends(reversed_end: ColumnElement[Any], digits: str) -> ColumnElement[bool]:
    return _begins(reversed_end, digits[-END_LENGTH:][::-1], END_LENGTH)
