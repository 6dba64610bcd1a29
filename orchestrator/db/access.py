"""
Who may see what: a customer its own, by its submissions; operators everything.

A customer sees a sample that it submitted or uploaded, and a user one whose submission
names them. Of a sample that one may see, others' analyses and links are hidden unless
their TLP lets them out, and so is who says by hand what it is, and why. The API asks
before anything else happens.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from uuid import UUID

from sqlalchemy import ColumnElement, Table, exists, or_, select, text, true

from orchestrator.db.bulk import one_of
from orchestrator.db.tables import (
    api_user,
    job,
    sample,
    sample_access,
    submission,
    verdict,
)
from orchestrator.db.unit_of_work import Reader, Transaction
from orchestrator.domain.errors import NotFoundError, PermissionDeniedError
from orchestrator.domain.policy import Tlp
from orchestrator.domain.viewer import Viewer

#: What may be shown to every customer of this service that has the sample too.
_SHARED = (Tlp.CLEAR.value, Tlp.GREEN.value)


def grant_sample(tx: Transaction, sha256: str, subjects: Iterable[UUID]) -> None:
    """
    Let customers, and users, see a sample from now on, as long as they have a
    submission of it; again changes nothing.
    """
    # Again it locks the row: who ends access at this moment waits for this submission.
    tx.connection.execute(
        text(
            "INSERT INTO sample_access (subject_id, sample_sha256, sample_created_at)"
            " SELECT DISTINCT subject, s.sha256, s.created_at"
            " FROM sample s, unnest(CAST(:subjects AS uuid[])) subject"
            " WHERE s.sha256 = :sha256 ORDER BY subject"
            " ON CONFLICT (subject_id, sample_sha256)"
            " DO UPDATE SET sample_created_at = excluded.sample_created_at"
        ),
        {"subjects": list(subjects), "sha256": sha256},
    )


def check_sample(tx: Reader, viewer: Viewer, sha256: str) -> None:
    """
    Refuse who may not see this sample; one that is not there is refused to nobody.

    Raises:
        PermissionDeniedError: It is another customer's.
    """
    if viewer.customer_ids is None:
        return
    query = select(exists().where(sample.c.sha256 == sha256), _seen(viewer, sha256))
    is_here, is_seen = tx.connection.execute(query).one()
    if is_here and not is_seen:
        raise PermissionDeniedError(
            f"sample {sha256} is another customer's; submit it yourself to see it",
            field="sha256",
        )


def visible_samples(
    tx: Transaction, viewer: Viewer, sha256s: Collection[str]
) -> set[str]:
    """Return those of the samples that the viewer may see."""
    if viewer.customer_ids is None:
        return set(sha256s)
    granted = select(sample_access.c.sample_sha256).where(
        one_of(sample_access.c.sample_sha256, sha256s),
        sample_access.c.subject_id.in_(viewer.subjects),
    )
    return set(tx.connection.execute(granted).scalars())


def find_subjects_of_samples(
    tx: Transaction, sha256s: Collection[str]
) -> dict[str, frozenset[UUID]]:
    """Return the customers and users that may see each of these samples."""
    rows = tx.connection.execute(
        select(sample_access.c.sample_sha256, sample_access.c.subject_id).where(
            one_of(sample_access.c.sample_sha256, sha256s)
        )
    )
    found: dict[str, set[UUID]] = {}
    for row in rows:
        found.setdefault(row.sample_sha256, set()).add(row.subject_id)
    return {sha256: frozenset(subjects) for sha256, subjects in found.items()}


def check_job(tx: Reader, viewer: Viewer, job_id: UUID) -> None:
    """
    Refuse who may not see this job; one that is not there is refused to nobody.

    Raises:
        PermissionDeniedError: It is another customer's.
    """
    owner = tx.connection.execute(
        select(job.c.customer_id).where(job.c.id == job_id)
    ).scalar_one_or_none()
    if owner is not None and not viewer.acts_for(owner):
        raise foreign_job(job_id)


def foreign_job(job_id: UUID) -> PermissionDeniedError:
    """Return what who may not see a job is told."""
    return PermissionDeniedError(f"job {job_id} is another customer's", field="jobID")


def check_webhook(viewer: Viewer, webhook_id: UUID, owner: UUID | None) -> None:
    """
    Refuse who may not see this webhook.

    Args:
        owner: Its customer, if it is there.

    Raises:
        NotFoundError: It is not there.
        PermissionDeniedError: It is another customer's.
    """
    if owner is None:
        raise NotFoundError(f"there is no webhook {webhook_id}", field="webhookID")
    if not viewer.acts_for(owner):
        raise PermissionDeniedError(
            f"webhook {webhook_id} is another customer's", field="webhookID"
        )


def check_customer(viewer: Viewer, customer_id: UUID) -> None:
    """
    Refuse who may not add anything for this customer.

    Raises:
        PermissionDeniedError: It is not theirs.
    """
    if not viewer.acts_for(customer_id):
        raise PermissionDeniedError(
            "this key may not act for that customer; leave it out for your own",
            field="customer",
        )


def check_unlimited(viewer: Viewer) -> None:
    """
    Refuse who sees the things of some customers only, where all of them are mixed.

    Raises:
        PermissionDeniedError: The key is limited to customers.
    """
    if viewer.customer_ids is not None:
        raise PermissionDeniedError(
            "this is about all customers, and the key is only for some of them; use"
            " one without that limit"
        )


def of_customers(table: Table, viewer: Viewer) -> ColumnElement[bool]:
    """Return the condition for rows of the viewer's customers."""
    if viewer.customer_ids is None:
        return true()
    return table.c.customer_id.in_(viewer.customer_ids)


def visible_submissions(viewer: Viewer) -> ColumnElement[bool]:
    """Return the condition for submissions that the viewer may see."""
    if viewer.customer_ids is None or viewer.is_limited:
        return of_customers(submission, viewer)
    named = submission.c.acl.contains([viewer.user_id])
    return or_(of_customers(submission, viewer), named)


def visible_findings(table: Table, viewer: Viewer) -> ColumnElement[bool]:
    """
    Return the condition for analyses, or links, that the viewer may see.

    Red is for who made it and who is named; amber also for its customer; what is green
    or clear for everybody who may see the sample.
    """
    if viewer.customer_ids is None:
        return true()
    own = of_customers(table, viewer)
    named = or_(
        table.c.created_by == viewer.user_id, table.c.acl.contains([viewer.user_id])
    )
    return or_(
        table.c.tlp.in_(_SHARED),
        own & (table.c.tlp != Tlp.RED.value),
        own & named if viewer.is_limited else named,
    )


def visible_words(viewer: Viewer) -> ColumnElement[bool]:
    """
    Return the condition for verdicts of whose author and comment the viewer may know.

    Verdicts by workers have neither. One by hand counts for everybody who may see the
    sample; who said it, and in which words, is for the author's customer.
    """
    if viewer.customer_ids is None:
        return true()
    own = exists().where(
        api_user.c.id == verdict.c.created_by,
        or_(
            api_user.c.id == viewer.user_id,
            api_user.c.customer_id.in_(viewer.customer_ids),
        ),
    )
    return or_(verdict.c.is_manual.is_(False), own)


def _seen(viewer: Viewer, sha256: str) -> ColumnElement[bool]:
    return exists().where(
        sample_access.c.sample_sha256 == sha256,
        sample_access.c.subject_id.in_(viewer.subjects),
    )
