"""
How a worker's tasks went lately, version by version.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text

from orchestrator.db.states import FAILED, TIMEOUT
from orchestrator.db.unit_of_work import Transaction

#: Tasks that are looked at: those that ended last.
LOOKED_AT_MAX: Final = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionView:
    """
    A version of a worker, and how it went: of the tasks that ended last those that had
    begun while it was the newest. ``run_p50`` and ``run_p95``: seconds from start to
    end; ``None`` where none ran.
    """

    version: str
    accepts: tuple[str, ...]
    max_bytes: int | None
    run_seconds: float
    max_tlp: str
    sends_data_out: bool
    created_at: datetime
    ended: int
    failed: int
    run_p50: float | None
    run_p95: float | None

    @property
    def failed_percent(self) -> float | None:
        """How many of its tasks failed or timed out, if any ended."""
        return 100 * self.failed / self.ended if self.ended else None


def list_versions(tx: Transaction, worker_id: UUID) -> tuple[VersionView, ...]:
    """Return the versions of a worker, the newest first."""
    values = {"worker": worker_id, "most": LOOKED_AT_MAX}
    return tuple(map(_view, tx.connection.execute(_VERSIONS, values)))


def _view(row: Row[Any]) -> VersionView:
    return VersionView(
        version=row.version,
        accepts=tuple(row.accepts),
        max_bytes=row.max_bytes,
        run_seconds=row.run_seconds,
        max_tlp=row.max_tlp,
        sends_data_out=row.sends_data_out,
        created_at=row.created_at,
        ended=row.ended or 0,
        failed=row.failed or 0,
        run_p50=row.run_p50,
        run_p95=row.run_p95,
    )


# A task does not say of which version it was: of the newest that had come.
_VERSIONS = text(
    f"""
    WITH ended AS (
        SELECT t.state, extract(epoch FROM t.ended_at - t.started_at) AS seconds,
               (SELECT v.version FROM worker_version v
                 WHERE v.worker_id = t.worker_id
                   AND v.created_at <= coalesce(t.started_at, t.ended_at)
                 ORDER BY v.created_at DESC LIMIT 1) AS version
          FROM (SELECT * FROM job_task
                 WHERE worker_id = :worker AND ended_at IS NOT NULL
                   AND state <> 'cancelled'
                 ORDER BY ended_at DESC LIMIT :most) t
    ), counted AS (
        SELECT version, count(*) AS ended,
               count(*) FILTER (WHERE state IN ({FAILED}, {TIMEOUT})) AS failed,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS run_p50,
               percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) AS run_p95
          FROM ended GROUP BY version
    )
    SELECT v.*, c.ended, c.failed, c.run_p50, c.run_p95
      FROM worker_version v LEFT JOIN counted c ON c.version = v.version
     WHERE v.worker_id = :worker ORDER BY v.created_at DESC
    """
)
