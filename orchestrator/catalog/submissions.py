"""
Submissions: somebody saw the sample, and wants it analysed. One commit for all of it.

The token that proves possession is used up with the submission; its job is created with
it. A client that sends the same again gets what it got.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select
from uuid_utils.compat import uuid7

from orchestrator.catalog.challenges import Token, check_token, use_token
from orchestrator.catalog.repeats import REPEATED_WITHIN, find_repeated, hash_content
from orchestrator.contracts.wire import OPAQUE_MIME_TYPE
from orchestrator.db.access import grant_sample
from orchestrator.db.bulk import insert_rows
from orchestrator.db.samples import get_sample_size
from orchestrator.db.tables import submission
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import ConflictError
from orchestrator.domain.policy import Tlp
from orchestrator.flow.order import CreatedJob, JobOrder, Outcome, Said
from orchestrator.flow.ports import Engine
from orchestrator.flow.submit import create_job, create_jobs

#: Who submits what is said with an order: nobody has to name a program for it.
_AGENT = "assay"
_AGENT_VERSION = "1"


@dataclass(frozen=True, kw_only=True, slots=True)
class NewSubmission:
    """
    What a submitter says.

    ``metadata``: {key: value} of the submitter's own. ``acl``: ids of users who may see
    it besides the customer's. ``expires_at``: until when it is to be kept; ``None`` for
    good. ``observed_at`` ``None`` is now.
    """

    sample_sha256: str
    customer_id: UUID
    user_id: UUID
    file_name: str
    mime_type: str
    agent_name: str
    agent_version: str
    tlp: Tlp = Tlp.AMBER
    metadata: Mapping[str, str] = field(default_factory=dict)
    acl: tuple[UUID, ...] = ()
    observed_at: datetime | None = None
    expires_at: datetime | None = None

    def content_hash(self) -> str:
        """Return what makes two submissions of a sample similar."""
        content = [
            str(self.customer_id),
            self.file_name,
            self.mime_type,
            self.agent_name,
            self.agent_version,
            self.tlp.value,
            dict(self.metadata),
            sorted(map(str, self.acl)),
        ]
        return hash_content(content)


@dataclass(frozen=True, kw_only=True, slots=True)
class AddedSubmission:
    """``id`` is ``None`` for a similar one, which is not stored."""

    id: UUID | None
    is_new: bool


def add_submission(
    tx: Transaction, new: NewSubmission, token: Token, *, engine: Engine
) -> AddedSubmission:
    """
    Store a submission and create its job.

    Args:
        token: Proves that the submitter has the sample.

    Raises:
        NotFoundError: There is no such sample.
        InvalidError: The token proves nothing.
        ConflictError: The token was used for another submission.
    """
    get_sample_size(tx, new.sample_sha256)
    used = check_token(tx, token, new.sample_sha256, user_id=new.user_id)
    if used is not None:
        return _repeat(tx, new, used)
    if _has_similar(tx, new):
        return AddedSubmission(id=None, is_new=False)
    order = JobOrder(
        sample_sha256=new.sample_sha256,
        submitter_id=new.user_id,
        customer_id=new.customer_id,
        file_name=new.file_name,
        said=Said(tlp=new.tlp, metadata=new.metadata),
    )
    job_id = create_job(tx, order, engine=engine).job_id
    (submission_id,) = _add(tx, [(new, job_id)])
    use_token(tx, token, submission_id)
    return AddedSubmission(id=submission_id, is_new=True)


def place_orders(
    tx: Transaction, orders: Sequence[JobOrder], *, engine: Engine
) -> list[Outcome]:
    """
    Create the jobs of one submitter's orders, and keep what was said with them: one
    submission for each job that is new.

    Returns:
        What became of each, in their order.
    """
    outcomes = create_jobs(tx, orders, engine=engine)
    _add(
        tx,
        [
            (_said_with(order, order.said), outcome.job_id)
            for order, outcome in zip(orders, outcomes, strict=True)
            if order.said is not None
            if isinstance(outcome, CreatedJob) and outcome.is_new
        ],
    )
    return outcomes


def _said_with(order: JobOrder, said: Said) -> NewSubmission:
    return NewSubmission(
        sample_sha256=order.sample_sha256,
        customer_id=order.customer_id,
        user_id=order.submitter_id,
        file_name=order.file_name or order.sample_sha256,
        mime_type=OPAQUE_MIME_TYPE,
        agent_name=_AGENT,
        agent_version=_AGENT_VERSION,
        tlp=said.tlp,
        metadata=said.metadata,
    )


def _repeat(tx: Transaction, new: NewSubmission, used: UUID) -> AddedSubmission:
    content_hash = tx.connection.execute(
        select(submission.c.content_hash).where(submission.c.id == used)
    ).scalar_one_or_none()
    if content_hash != new.content_hash():
        raise ConflictError(
            "the token was used for another submission; ask for a new challenge",
            field="challengeToken",
        )
    return AddedSubmission(id=used, is_new=False)


def _has_similar(tx: Transaction, new: NewSubmission) -> bool:
    # One kept for less does not count: with it the sample would be gone too soon.
    kept: list[ColumnElement[bool]] = [submission.c.expires_at.is_(None)]
    if new.expires_at is not None:
        kept.append(submission.c.expires_at >= new.expires_at - REPEATED_WITHIN)
    found = find_repeated(
        tx,
        submission,
        new.content_hash(),
        submission.c.sample_sha256 == new.sample_sha256,
        submission.c.customer_id == new.customer_id,
        or_(*kept),
    )
    return found is not None


def _add(
    tx: Transaction, submitted: Sequence[tuple[NewSubmission, UUID]]
) -> list[UUID]:
    """Store submissions, each with the id of its job; return their ids."""
    ids = [uuid7() for _ in submitted]
    insert_rows(
        tx,
        submission,
        [
            _row(tx, new, submission_id, job_id)
            for submission_id, (new, job_id) in zip(ids, submitted, strict=True)
        ],
    )
    for new, _ in submitted:
        grant_sample(tx, new.sample_sha256, [new.customer_id, *new.acl])
    return ids


def _row(
    tx: Transaction, new: NewSubmission, submission_id: UUID, job_id: UUID
) -> dict[str, Any]:
    return {
        "id": submission_id,
        "sample_sha256": new.sample_sha256,
        "customer_id": new.customer_id,
        "created_by": new.user_id,
        "job_id": job_id,
        "file_name": new.file_name,
        "mime_type": new.mime_type,
        "meta": dict(new.metadata),
        "tlp": new.tlp.value,
        "acl": list(new.acl),
        "agent_name": new.agent_name,
        "agent_version": new.agent_version,
        "observed_at": new.observed_at or tx.now,
        "expires_at": new.expires_at,
        "content_hash": new.content_hash(),
    }
