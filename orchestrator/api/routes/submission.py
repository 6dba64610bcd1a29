"""
Submissions over HTTP, and the challenges that spare sending a sample twice.
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import Path

from orchestrator.api.deps import CallerDep, ServicesDep, guarded, needs
from orchestrator.api.http.envelope import (
    Envelope,
    Failure,
    ListEnvelope,
    created,
    listing,
    single,
)
from orchestrator.api.http.errors import LIMITED
from orchestrator.api.http.paging import PageDep, PagingDep
from orchestrator.api.http.search import PeriodDep, WordsDep
from orchestrator.api.schemas.common import Sha256Path
from orchestrator.api.schemas.submission import (
    ChallengeResponse,
    SubmissionAddRequest,
    SubmissionResponse,
)
from orchestrator.catalog.challenges import Token, count_answer, issue_challenge
from orchestrator.catalog.submissions import NewSubmission, add_submission
from orchestrator.db.access import check_customer
from orchestrator.db.users import get_customer_ids, get_user_ids
from orchestrator.domain.values import Role
from orchestrator.queries import search_submissions as search
from orchestrator.queries import submissions

router = guarded("submission")

SubmissionID = Annotated[UUID, Path(alias="id")]

#: Not stored, as a similar one came a moment ago: a success for the contract's clients.
SIMILAR = 220


@router.post(
    "/sample/{sha256}/challenge",
    responses={
        422: {"model": Failure, "description": "No part of it proves anything."}
    },
)
@needs(Role.UPLOADER, anyones=True)
def get_challenge(
    sha256: Sha256Path, caller: CallerDep, services: ServicesDep
) -> Envelope[ChallengeResponse]:
    """Ask for the hash of a random part, to prove that one has the sample; again, for
    the same one.
    """
    challenge = issue_challenge(
        services.database, services.store, sha256, user_id=caller.user_id
    )
    return single(ChallengeResponse.of(challenge))


@router.post(
    "/sample/{sha256}/submission",
    status_code=HTTPStatus.CREATED,
    responses={
        200: {
            "model": Envelope[SubmissionResponse],
            "description": "The same one came before with this token.",
        },
        SIMILAR: {
            "model": Envelope[SubmissionResponse],
            "description": "A similar one came a moment ago; nothing is stored.",
        },
        **LIMITED,
    },
)
@needs(Role.UPLOADER, anyones=True)
def post_submission(
    sha256: Sha256Path,
    given: SubmissionAddRequest,
    caller: CallerDep,
    services: ServicesDep,
) -> Envelope[SubmissionResponse]:
    """Store a submission and have the sample analysed."""
    token = Token(id=given.challenge_token.id, sha256=given.challenge_token.sha256)
    count_answer(services.database, token, sha256, user_id=caller.user_id)
    with services.database.uow() as tx:
        customer_id = caller.customer_id
        if given.customer is not None:
            (customer_id,) = get_customer_ids(tx, [given.customer])
        check_customer(caller.viewer, customer_id)
        new: NewSubmission = replace(
            given.new(
                sha256,
                customer_id=customer_id,
                user_id=caller.user_id,
                acl=get_user_ids(tx, given.acl),
            ),
            observed_at=given.observed_at(tx.now),
            expires_at=given.expires_at(tx.now),
        )
        added = add_submission(tx, new, token, engine=services.engine)
        if added.id is None:
            answer = SubmissionResponse(sample_sha256=sha256)
            return Envelope(response_code=SIMILAR, data=answer)
        view = submissions.get_submission(tx, sha256, added.id, viewer=caller.viewer)
    return created(SubmissionResponse.of(view), is_new=added.is_new)


@router.get("/sample/{sha256}/submission")
@needs(Role.VIEWER)
def list_submissions(
    sha256: Sha256Path, paging: PageDep, caller: CallerDep, services: ServicesDep
) -> ListEnvelope[SubmissionResponse]:
    """Return the submissions of a sample, the newest first."""
    with services.database.uow() as tx:
        page = submissions.list_of_sample(tx, sha256, paging, viewer=caller.viewer)
    shaped = [SubmissionResponse.of(view) for view in page.items]
    return listing(shaped, page=page, paging=paging)


@router.get("/sample/{sha256}/submission/{id}")
@needs(Role.VIEWER)
def get_submission(
    sha256: Sha256Path,
    submission_id: SubmissionID,
    caller: CallerDep,
    services: ServicesDep,
) -> Envelope[SubmissionResponse]:
    """Return one submission."""
    with services.database.uow() as tx:
        view = submissions.get_submission(
            tx, sha256, submission_id, viewer=caller.viewer
        )
    return single(SubmissionResponse.of(view))


@router.get("/submission")
@needs(Role.VIEWER)
def search_submissions(
    words: WordsDep,
    period: PeriodDep,
    paging: PagingDep,
    caller: CallerDep,
    services: ServicesDep,
) -> ListEnvelope[SubmissionResponse]:
    """Return submissions of every sample, those observed last first."""
    with services.database.uow() as tx:
        page = search.search_submissions(
            tx, words, period(tx.now), paging, viewer=caller.viewer
        )
    shaped = [SubmissionResponse.of(view) for view in page.items]
    return listing(shaped, page=page, paging=paging)
