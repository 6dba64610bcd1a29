"""
The roster: which workers there are, with which limits, and which policy chooses them.

It is read once for as long as none of it changes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from orchestrator.db import policies
from orchestrator.db.poison import WorkerVersion
from orchestrator.db.policies import RuleRow
from orchestrator.db.unit_of_work import Transaction
from orchestrator.db.workers import WorkerRow, list_workers
from orchestrator.domain.clocks import TaskLimits
from orchestrator.domain.limits import Limits
from orchestrator.domain.policy import OptionAction, Policy, Rule, Tlp, WorkerAction
from orchestrator.domain.selection import Candidate
from orchestrator.flow.ports import Engine


@dataclass(frozen=True, kw_only=True, slots=True)
class Roster:
    """
    The registered workers, deleted ones too, by id and by name, with the limits of
    their tasks.

    ``candidates``: they, as far as it matters to a selection of a sample that is poison
    for none. ``policy``: workers go by short name there, customers by their id.
    """

    by_id: Mapping[UUID, WorkerRow]
    by_name: Mapping[str, WorkerRow]
    limits: Mapping[UUID, TaskLimits]
    candidates: tuple[Candidate, ...]
    policy: Policy

    def candidates_for(self, poisoned: Collection[WorkerVersion]) -> list[Candidate]:
        """Return every worker as a candidate; these die of the sample."""
        return [
            replace(candidate, poisoned=True)
            if (candidate.worker_id, candidate.version) in poisoned
            else candidate
            for candidate in self.candidates
        ]


def read_roster(tx: Transaction, engine: Engine) -> Roster:
    """Return it as it was when the transaction began, or newer."""
    limits = engine.limits
    return tx.kept(("roster", limits), lambda tx: _read(tx, limits))


def read_roster_anew(tx: Transaction, engine: Engine) -> Roster:
    """Return it as this transaction has changed it."""
    return _read(tx, engine.limits)


def _read(tx: Transaction, limits: Limits) -> Roster:
    workers = list_workers(tx)
    return Roster(
        by_id={worker.id: worker for worker in workers},
        by_name={worker.short_name: worker for worker in workers},
        limits={
            worker.id: limits.of_task(
                run_seconds=worker.run_seconds, max_losses=worker.max_losses
            )
            for worker in workers
        },
        candidates=tuple(map(_candidate, workers)),
        policy=_policy(tx, {str(worker.id): worker.short_name for worker in workers}),
    )


def _candidate(worker: WorkerRow) -> Candidate:
    return Candidate(
        worker_id=worker.id,
        short_name=worker.short_name,
        has_manifest=worker.version is not None,
        enabled=not worker.is_deleted,
        accepts=worker.accepts or ("*",),
        max_bytes=worker.max_bytes,
        max_tlp=Tlp(worker.max_tlp),
        sends_data_out=worker.sends_data_out,
        version=worker.version,
    )


def _policy(tx: Transaction, names: Mapping[str, str]) -> Policy:
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
