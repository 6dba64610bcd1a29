"""
What holds for each worker's tasks right now: limits, and who may speak for it.

Read once per transaction; the table of workers is small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from orchestrator.db.unit_of_work import Transaction
from orchestrator.db.workers import WorkerRow, list_workers
from orchestrator.domain.clocks import TaskLimits
from orchestrator.flow.ports import Engine


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """The registered workers, by id and by name, with the limits of their tasks."""

    by_id: Mapping[UUID, WorkerRow]
    by_name: Mapping[str, WorkerRow]
    limits: Mapping[UUID, TaskLimits]


def read_rules(tx: Transaction, engine: Engine) -> Rules:
    """Read every worker's rules as they are now."""
    workers = list_workers(tx)
    return Rules(
        by_id={one.id: one for one in workers},
        by_name={one.short_name: one for one in workers},
        limits={
            one.id: engine.limits.of_task(
                run_seconds=one.run_seconds, max_losses=one.max_losses
            )
            for one in workers
        },
    )
