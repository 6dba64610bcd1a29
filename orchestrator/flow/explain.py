"""
Who would look at a file, and why, before anything is submitted.

The same selection as for a job, over the same candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from orchestrator.catalog.policy import read_policy
from orchestrator.classify import classify
from orchestrator.contracts.assignment import Classification
from orchestrator.db import history
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.policy import Subject, Tlp
from orchestrator.domain.selection import Candidate, Selection, select
from orchestrator.flow.ports import Engine
from orchestrator.flow.roster import Rules, read_rules
from orchestrator.store import Measured


@dataclass(frozen=True, kw_only=True, slots=True)
class Intention:
    """As whose, and how, a file would be submitted. ``metadata``: {key: value}."""

    customer_id: UUID
    tlp: Tlp = Tlp.AMBER
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """What kind of file it is, and what became of every registered worker."""

    sha256: str
    classification: Classification
    selection: Selection


def explain_policy(
    tx: Transaction, measured: Measured, intention: Intention, *, engine: Engine
) -> Explanation:
    """Say which workers would run on a file that was measured, and why."""
    digests = measured.digests
    kind = classify(measured.head, measured.tail, digests.size)
    subject = Subject(
        sha256=digests.sha256,
        size_bytes=digests.size,
        type=kind.type,
        super_type=kind.super_type,
        mime_type=kind.mime_type,
        tlp=intention.tlp,
        customer=str(intention.customer_id),
        metadata=intention.metadata,
    )
    rules = read_rules(tx, engine)
    selection = select(
        find_candidates(tx, rules, digests.sha256),
        subject,
        policy=read_policy(tx, rules.by_id.values()),
    )
    return Explanation(sha256=digests.sha256, classification=kind, selection=selection)


def find_candidates(tx: Transaction, rules: Rules, sha256: str) -> list[Candidate]:
    """Return every registered worker, as far as it matters to a selection."""
    poisoned = history.poisoned_workers(tx, sha256)
    return [
        Candidate(
            worker_id=one.id,
            short_name=one.short_name,
            has_manifest=one.version is not None,
            enabled=not one.is_deleted,
            accepts=one.accepts or ("*",),
            max_bytes=one.max_bytes,
            max_tlp=Tlp(one.max_tlp),
            sends_data_out=one.sends_data_out,
            version=one.version,
            poisoned=(one.id, one.version) in poisoned,
        )
        for one in rules.by_id.values()
    ]
