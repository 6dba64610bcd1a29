"""
Who would look at a file, and why, before anything is submitted.

The same selection as for a job, over the same candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from orchestrator.classify import Decision
from orchestrator.db.poison import poisoned_versions
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.policy import Subject, Tlp
from orchestrator.domain.selection import Selection, select
from orchestrator.flow.ports import Engine
from orchestrator.flow.roster import read_roster
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
    classification: Decision
    selection: Selection


def explain_policy(
    tx: Transaction,
    measured: Measured,
    found: Decision,
    intention: Intention,
    *,
    engine: Engine,
) -> Explanation:
    """Say which workers would run on a file that was measured, and why."""
    digests, kind = measured.digests, found.kind
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
    roster = read_roster(tx, engine)
    selection = select(
        roster.candidates_for(poisoned_versions(tx, digests.sha256)),
        subject,
        policy=roster.policy,
    )
    return Explanation(sha256=digests.sha256, classification=found, selection=selection)
