"""
What a change of the policy would do, seen on the samples that came last: it is made,
looked at, and undone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import text

from orchestrator.db.samples import Wanted, find_subjects
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.selection import select
from orchestrator.flow.ports import Engine
from orchestrator.flow.roster import Roster, read_roster_anew

#: Samples that are looked at: the newest.
SAMPLES_MAX: Final = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A sample that others would look at: ``more``, and ``less``, by short name."""

    sha256: str
    more: tuple[str, ...]
    less: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rehearsal:
    """
    What would be different. ``samples``: how many were looked at; ``more`` and
    ``less``: how many of them each worker would get, or get no more.
    """

    samples: int
    differences: tuple[Difference, ...]
    more: Mapping[str, int]
    less: Mapping[str, int]


class _Undone(Exception):  # noqa: N818  (it is no error)
    """Nothing of it stays."""


def rehearse(
    tx: Transaction, change: Callable[[Transaction], object], *, engine: Engine
) -> Rehearsal:
    """
    Say what *change* would do to the workers of the newest samples; it stays undone.

    Raises:
        AssayError: What *change* raises: it could not be made.
    """
    wanted = _newest(tx)
    before = _selected(tx, wanted, read_roster_anew(tx, engine))
    after: dict[Wanted, frozenset[str]] = {}
    with _undone(tx):
        change(tx)
        after = _selected(tx, wanted, read_roster_anew(tx, engine))
    differences = tuple(
        Difference(
            sha256=key[0],
            more=tuple(sorted(after[key] - before[key])),
            less=tuple(sorted(before[key] - after[key])),
        )
        for key in before
        if before[key] != after[key]
    )
    return Rehearsal(
        samples=len(before),
        differences=differences,
        more=Counter(name for each in differences for name in each.more),
        less=Counter(name for each in differences for name in each.less),
    )


@contextmanager
def _undone(tx: Transaction) -> Iterator[None]:
    """Undo at its end what is done in the block."""
    with suppress(_Undone), tx.savepoint():
        yield
        raise _Undone


def _newest(tx: Transaction) -> list[Wanted]:
    rows = tx.connection.execute(_NEWEST, {"most": SAMPLES_MAX})
    return [(row.sha256, UUID(str(row.customer_id))) for row in rows]


def _selected(
    tx: Transaction, wanted: list[Wanted], roster: Roster
) -> dict[Wanted, frozenset[str]]:
    return {
        key: frozenset(
            choice.short_name
            for choice in select(
                roster.candidates_for(poisoned), subject, policy=roster.policy
            ).selected
        )
        for key, (subject, poisoned) in find_subjects(tx, wanted).items()
    }


_NEWEST = text(
    """
    SELECT s.sha256, u.customer_id FROM sample s JOIN api_user u ON u.id = s.created_by
     ORDER BY s.created_at DESC LIMIT :most
    """
)
