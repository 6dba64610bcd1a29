"""
Analyses and verdicts that come by hand or over HTTP, not through a report.

Linking analyses to tasks is ``flow/put.py``'s, rolling verdicts ``flow/settle.py``'s.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from uuid_utils.compat import uuid7

from orchestrator.db import analyses, audit, verdicts
from orchestrator.db.analyses import NewAnalysis
from orchestrator.db.audit import Action
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
from orchestrator.queries.samples import require_sample

#: Clients send again what got no answer; the contract has no key to tell it by.
REPEAT_WINDOW = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """
    What somebody found in a sample.

    ``score``: -1 (no findings), or 0 (benign) to 100 (malicious). ``tags`` [{type,
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
    require_sample(tx, found.sample_sha256)
    content_hash = _content_hash(found)
    _one_at_a_time(tx, user_id, content_hash)
    repeat = _find_repeat(tx, found.sample_sha256, content_hash, user_id=user_id)
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
    require_sample(tx, sample_sha256)
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
    repeat = verdicts.find_manual(tx, rolled, newer_than=REPEAT_WINDOW)
    if repeat is not None:
        return repeat
    verdicts.add_verdicts(tx, [rolled])
    verdicts.point_sample_at(tx, sample_sha256, rolled.id)
    detail = {"verdict": str(rolled.id), "status": status_override.value}
    audit.record(tx, actor, Action.VERDICT_SET, sample_sha256, detail)
    return rolled.id


def _content_hash(found: Findings) -> str:
    content = json.dumps(asdict(found), sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


def _one_at_a_time(tx: Transaction, user_id: UUID, content_hash: str) -> None:
    # Two copies of one request at once: the second waits, and then finds the first.
    tx.connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"),
        {"key": f"analysis {user_id} {content_hash}"},
    )


def _find_repeat(
    tx: Transaction, sample_sha256: str, content_hash: str, *, user_id: UUID
) -> UUID | None:
    found: UUID | None = tx.connection.execute(
        select(analysis.c.id)
        .where(
            analysis.c.sample_sha256 == sample_sha256,
            analysis.c.created_at > tx.now - REPEAT_WINDOW,
            analysis.c.created_by == user_id,
            analysis.c.content_hash == content_hash,
        )
        .order_by(analysis.c.created_at)
        .limit(1)
    ).scalar_one_or_none()
    return found


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
