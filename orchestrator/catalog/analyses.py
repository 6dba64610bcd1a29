"""
Analyses and verdicts that come by hand or over HTTP, not through a report.

Linking analyses to tasks is ``flow/update.py``'s, rolling verdicts
``flow/settle.py``'s.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from uuid_utils.compat import uuid7

from orchestrator.catalog.repeats import REPEATED_WITHIN, find_repeated, hash_content
from orchestrator.db import analyses, audit, verdicts
from orchestrator.db.analyses import NewAnalysis
from orchestrator.db.audit import Action
from orchestrator.db.samples import get_sample_size
from orchestrator.db.tables import analysis, worker
from orchestrator.db.unit_of_work import Transaction
from orchestrator.db.verdicts import Rolled
from orchestrator.domain.values import Actor
from orchestrator.domain.verdict import (
    SCORE_MAX,
    StatusOverride,
    Verdict,
    VerdictStatus,
)
from orchestrator.flow.announce import announce_word


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """
    What somebody found in a sample.

    ``score``: -1 (no findings), or 0 to 100 (malicious). ``tags`` [{type,
    value}], ``detections`` [{name, assessment}].
    """

    sample_sha256: str
    customer_id: UUID
    agent_name: str
    agent_version: str
    score: int
    result: Any
    tags: tuple[dict[str, str], ...] = ()
    detections: tuple[dict[str, str], ...] = ()
    possible_detections: int | None = None
    status_override: StatusOverride | None = None
    profile: str | None = None
    internet_access: bool = False
    tlp: str = "amber"
    acl: tuple[UUID, ...] = ()


def add_analysis(tx: Transaction, found: Findings, *, user_id: UUID) -> UUID:
    """
    Store an analysis; the same one by the same user within 10 min is the first one.

    Raises:
        NotFoundError: There is no such sample.
    """
    get_sample_size(tx, found.sample_sha256)
    content_hash = hash_content(asdict(found))
    repeat = find_repeated(
        tx,
        analysis,
        content_hash,
        analysis.c.sample_sha256 == found.sample_sha256,
        analysis.c.created_by == user_id,
    )
    if repeat is not None:
        return repeat
    new_id = uuid7()
    values = {
        **asdict(found),
        "created_by": user_id,
        "worker_id": _find_worker(tx, found.agent_name),
        "content_hash": content_hash,
    }
    analyses.add_analyses(tx, [NewAnalysis(id=new_id, values=values)], [])
    return new_id


def add_manual_verdict(
    tx: Transaction,
    sample_sha256: str,
    *,
    comment: str,
    status_override: StatusOverride,
    actor: Actor,
) -> UUID:
    """
    Say by hand what a sample is; it stands in every later verdict.

    The same by the same user within 10 min, with nobody's other word in between, is the
    first one.

    Raises:
        NotFoundError: There is no such sample.
    """
    get_sample_size(tx, sample_sha256)
    verdicts.lock_samples(tx, [sample_sha256])
    rolled = Rolled(
        id=uuid7(),
        sample_sha256=sample_sha256,
        job_id=None,
        verdict=_certain(status_override),
        manual_override=status_override,
        comment=comment,
        created_by=actor.user_id,
    )
    repeat = verdicts.find_manual(tx, rolled, newer_than=REPEATED_WITHIN)
    if repeat is not None:
        return repeat
    before = verdicts.find_current(tx, {sample_sha256}).get(sample_sha256)
    verdicts.add_verdicts(tx, [rolled])
    verdicts.point_sample_at(tx, sample_sha256, rolled.id)
    announce_word(tx, sample_sha256, before)
    detail = {"verdict": str(rolled.id), "status": status_override.value}
    audit.record(tx, actor, Action.VERDICT_SET, sample_sha256, detail)
    tx.changed.samples.add(sample_sha256)
    return rolled.id


def _find_worker(tx: Transaction, short_name: str) -> UUID | None:
    found: UUID | None = tx.connection.execute(
        select(worker.c.id).where(worker.c.short_name == short_name)
    ).scalar_one_or_none()
    return found


def _certain(override: StatusOverride) -> Verdict:
    is_malicious = override is StatusOverride.MALICIOUS
    return Verdict(
        score=SCORE_MAX if is_malicious else 0,
        status=VerdictStatus(override.value),
        status_override=override,
        contradicting=False,
        # Nothing was rolled: no task counts, and none is asked for.
        coverage_percent=0,
        tags=(),
        contributions=(),
    )
