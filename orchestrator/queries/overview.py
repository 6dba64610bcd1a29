"""
How each worker stands, for who looks after all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text

from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.limits import Limits
from orchestrator.queries.measure import Measures, WorkerMeasures, measure

#: How far back lost attempts are of interest, and how many of all are looked at.
LOST_WITHIN: Final = timedelta(minutes=10)
_LOST_MAX: Final = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerState:
    """
    A worker as it stands. ``lost``: attempts that were lost lately, by why.
    ``has_run``: whether it has ever sent a manifest.
    """

    measures: WorkerMeasures
    version: str | None
    nobody_home_since: datetime | None
    lost: Mapping[str, int]

    @property
    def has_run(self) -> bool:
        """Whether any replica of it has ever said what it is."""
        return self.version is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """Everything that was measured, and how each worker stands, by name."""

    measures: Measures
    workers: tuple[WorkerState, ...]


def read_overview(tx: Transaction, *, limits: Limits) -> Overview:
    """Return how everything stands."""
    measures = measure(tx, limits=limits)
    lost = _lost(tx)
    rows = tx.connection.execute(
        text(
            "SELECT short_name, version, nobody_home_since FROM worker"
            " WHERE deleted_at IS NULL"
        )
    )
    facts = {row.short_name: row for row in rows}
    return Overview(
        measures=measures,
        workers=tuple(
            WorkerState(
                measures=each,
                version=facts[each.short_name].version,
                nobody_home_since=facts[each.short_name].nobody_home_since,
                lost=lost.get(each.short_name, {}),
            )
            for each in sorted(measures.workers, key=lambda each: each.short_name)
            if each.short_name in facts
        ),
    )


def _lost(tx: Transaction) -> dict[str, dict[str, int]]:
    rows = tx.connection.execute(
        _LOST, {"since": tx.now - LOST_WITHIN, "most": _LOST_MAX}
    )
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        found.setdefault(row.short_name, {})[row.reason] = row.times
    return found


_LOST = text(
    """
    SELECT w.short_name, e.reason, count(*) AS times
      FROM (SELECT task_id, kind, coalesce(reason, 'unknown') AS reason
              FROM task_event WHERE created_at > :since
             ORDER BY created_at DESC LIMIT :most) e
      JOIN job_task t ON t.id = e.task_id
      JOIN worker w ON w.id = t.worker_id
     WHERE e.kind = 'lost'
     GROUP BY 1, 2
    """
)
