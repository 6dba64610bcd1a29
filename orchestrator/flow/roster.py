"""
The roster: which workers there are, with which limits, and which policy chooses them.

Read once per transaction; the tables of workers and rules are small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from orchestrator.db import poison, policies
from orchestrator.db.policies import RuleRow
from orchestrator.db.unit_of_work import Transaction
from orchestrator.db.workers import WorkerRow, list_workers
from orchestrator.domain.clocks import TaskLimits
from orchestrator.domain.policy import OptionAction, Policy, Rule, Tlp, WorkerAction
from orchestrator.domain.selection import Candidate
from orchestrator.flow.ports import Engine


@dataclass(frozen=True, kw_only=True, slots=True)
class Roster:
    """The registered workers, by id and by name, with the limits of their tasks."""

    by_id: Mapping[UUID, WorkerRow]
    by_name: Mapping[str, WorkerRow]
    limits: Mapping[UUID, TaskLimits]


def read_roster(tx: Transaction, engine: Engine) -> Roster:
    """Read every worker as it is now, deleted ones too."""
    workers = list_workers(tx)
    return Roster(
        by_id={worker.id: worker for worker in workers},
        by_name={worker.short_name: worker for worker in workers},
        limits={
            worker.id: engine.limits.of_task(
                run_seconds=worker.run_seconds, max_losses=worker.max_losses
            )
            for worker in workers
        },
    )


def find_candidates(tx: Transaction, roster: Roster, sha256: str) -> list[Candidate]:
    """Return every registered worker, as far as it matters to a selection."""
    poisoned = poison.poisoned_workers(tx, sha256)
    return [
        Candidate(
            worker_id=worker.id,
            short_name=worker.short_name,
            has_manifest=worker.version is not None,
            enabled=not worker.is_deleted,
            accepts=worker.accepts or ("*",),
            max_bytes=worker.max_bytes,
            max_tlp=Tlp(worker.max_tlp),
            sends_data_out=worker.sends_data_out,
            version=worker.version,
            poisoned=(worker.id, worker.version) in poisoned,
        )
        for worker in roster.by_id.values()
    ]


def read_policy(tx: Transaction, roster: Roster) -> Policy:
    """
    Return the default policy with its rules, as selection takes it.

    Workers go by short name there; customers by their id.
    """
    names = {str(worker.id): worker.short_name for worker in roster.by_id.values()}
    row = policies.get_policy(tx)
    chosen = row.worker_ids
    return Policy(
        workers=None if chosen is None else policies.names_of(map(str, chosen), names),
        options=row.options,
        rules=tuple(_rule(rule, names) for rule in policies.list_rules(tx)),
    )


def _rule(row: RuleRow, names: Mapping[str, str]) -> Rule:
    workers, options = row.action["workers"], row.action["options"]
    return Rule(
        rule_id=row.id,
        name=row.name,
        created_at=row.created_at,
        match=policies.match_of(row.match),
        workers=WorkerAction(
            set=policies.names_of(workers["set"], names) if "set" in workers else None,
            add=policies.names_of(workers.get("add", ()), names),
            remove=policies.names_of(workers.get("remove", ()), names),
        ),
        options=OptionAction(
            set=options.get("set"),
            add=options.get("add", {}),
            remove=frozenset(options.get("remove", ())),
        ),
    )
