"""
Counters that only grow: what is counted, appending to them, folding, reading.

Whoever counts appends rows in the transaction of what it counts, so that a counter
never says more or less than happened and nobody waits for a row. The tick folds them.
This file decides nothing of when to count: that is ``flow/tally.py``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import text

from orchestrator.db.bulk import insert_rows
from orchestrator.db.tables import counter
from orchestrator.db.unit_of_work import Transaction

#: Rows from which on the tick folds. A hundred workers have fewer series, so that a
#: fold is rare; a scrape adds up that many in a few milliseconds.
FOLD_FROM = 5_000

#: Rows that one fold takes, the oldest: after a long time without a tick it catches up
#: in steps that stay far below the statement timeout.
FOLD_MAX = 50_000


@dataclass(frozen=True, eq=False)
class Counted:
    """Something that is counted, in as many series as its labels have values."""

    name: str
    labels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Measured:
    """Something that is measured, and counted by how large it was."""

    name: str
    labels: tuple[str, ...]
    #: Upper bounds, rising; above the last one comes ``+Inf``.
    bounds: tuple[float, ...]

    @cached_property
    def bucket(self) -> Counted:
        """How often a value fell between a bound, its label ``le``, and the last."""
        return Counted(f"{self.name}_bucket", (*self.labels, "le"))

    @cached_property
    def sum(self) -> Counted:
        """All values together."""
        return Counted(f"{self.name}_sum", self.labels)

    @cached_property
    def bound_labels(self) -> tuple[str, ...]:
        """The values of ``le``."""
        return (*map(str, self.bounds), "+Inf")


TASKS_ENQUEUED = Counted("tasks_enqueued", ("worker",))
TASKS_ENDED = Counted("tasks_ended", ("worker", "state", "reason"))
REPORTS = Counted("reports", ("worker", "kind", "outcome"))
REPORTS_REJECTED = Counted("reports_rejected", ("kind",))
LOSSES = Counted("losses", ("worker", "reason"))
PREVIOUS_RESULTS = Counted("previous_results", ("worker", "why"))

# Up to the default clocks: 12 h in the queue, 120 s of run time and some above it.
QUEUED_SECONDS = Measured(
    "task_queued_seconds",
    ("worker",),
    (0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0),
)
RUN_SECONDS = Measured(
    "task_run_seconds",
    ("worker",),
    (0.01, 0.05, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0),
)
COVERAGE = Measured("verdict_coverage_ratio", (), (0.0, 0.25, 0.5, 0.75, 0.9, 1.0))

#: Name, then (label, value) sorted by label.
Series = tuple[str, tuple[tuple[str, str], ...]]


class Tally:
    """What one transaction has to count, added up before it is written."""

    def __init__(self) -> None:
        self._values: defaultdict[tuple[Counted, tuple[object, ...]], float]
        self._values = defaultdict(float)

    def add(self, counted: Counted, *labels: object, value: float = 1) -> None:
        """Count; *labels* in the order of ``counted.labels``, workers by id."""
        self._values[counted, labels] += value

    def observe(self, measured: Measured, value: float, *labels: object) -> None:
        """Count a value; *labels* in the order of ``measured.labels``."""
        bound = measured.bound_labels[bisect_left(measured.bounds, value)]
        self._values[measured.bucket, (*labels, bound)] += 1
        self._values[measured.sum, labels] += value

    def rows(self) -> list[dict[str, object]]:
        """Return rows of ``counter``."""
        return [
            {
                "name": counted.name,
                "labels": dict(zip(counted.labels, map(str, labels), strict=True)),
                "value": value,
            }
            for (counted, labels), value in self._values.items()
        ]


def append(tx: Transaction, tally: Tally) -> None:
    """Write what was counted, in one statement; nothing if nothing was."""
    insert_rows(tx, counter, tally.rows())


def fold(tx: Transaction) -> int:
    """
    Add the oldest rows up into one per series, once there are many.

    The caller sees to it that nobody else folds.

    Returns:
        How many rows were folded.
    """
    many = tx.connection.execute(
        text("SELECT count(*) FROM (SELECT 1 FROM counter LIMIT :many) c"),
        {"many": FOLD_FROM},
    ).scalar_one()
    if many < FOLD_FROM:
        return 0
    folded = tx.connection.execute(_FOLD, {"limit": FOLD_MAX})
    return int(folded.scalar_one())


def read(tx: Transaction) -> Mapping[Series, float]:
    """Return every series with its value so far."""
    rows = tx.connection.execute(
        text("SELECT name, labels, sum(value) AS value FROM counter GROUP BY 1, 2")
    )
    return {(row.name, tuple(sorted(row.labels.items()))): row.value for row in rows}


_FOLD = text(
    """
    WITH taken AS (
        DELETE FROM counter
         WHERE id IN (SELECT id FROM counter ORDER BY id LIMIT :limit)
        RETURNING name, labels, value
    ), folded AS (
        INSERT INTO counter (name, labels, value)
        SELECT name, labels, sum(value) FROM taken GROUP BY name, labels
    )
    SELECT count(*) FROM taken
    """
)
