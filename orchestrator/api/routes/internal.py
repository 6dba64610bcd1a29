"""
What replicas read and write over HTTP: with the token of one attempt, and a proof that
they are enrolled as its worker.

Both open this attempt's sample and take its files, while the attempt is the task's
present one and open: whoever reads a token in the broker has not the other. Reports go
through the broker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Request
from fastapi.responses import StreamingResponse

from orchestrator.api.deps import Services, ServicesDep
from orchestrator.api.http.body import raw_answer, received_chunks, run_attempt_reader
from orchestrator.api.http.envelope import Shape
from orchestrator.api.http.errors import RESPONSES
from orchestrator.api.http.threads import in_thread
from orchestrator.catalog.attempt_files import reserve_file, room_for_file, too_large
from orchestrator.contracts.signature import (
    attempt_proof,
    enrolment_proof,
    is_one_of,
)
from orchestrator.contracts.token import StoredClaim
from orchestrator.contracts.wire import (
    PROOF_HEADER,
    REPLICA_HEADER,
    TOKEN_HEADER,
    ShortName,
)
from orchestrator.db.stored_files import StoredFile
from orchestrator.db.unit_of_work import Transaction
from orchestrator.db.workers import REPLICAS_MAX, has_room_for_replica
from orchestrator.domain.errors import (
    AuthenticationError,
    ConflictError,
    SampleTooLargeError,
)
from orchestrator.queries.tasks import AttemptView, get_attempt
from orchestrator.queries.workers import find_enrolment
from orchestrator.store import Digests

router = APIRouter(
    prefix="/internal/task/{task_id}/{attempt}", tags=["internal"], responses=RESPONSES
)
enrolment_router = APIRouter(
    prefix="/internal/worker", tags=["internal"], responses=RESPONSES
)

Attempt = Annotated[int, Path(ge=1, le=2**31 - 1)]
Proof = Annotated[str | None, Header(alias=PROOF_HEADER, max_length=256)]
Kind = Literal["child", "evidence", "result"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a replica shows beside the attempt that it names."""

    token: str | None
    proof: str | None


async def _credentials(
    token: Annotated[str | None, Header(alias=TOKEN_HEADER, max_length=256)] = None,
    proof: Proof = None,
) -> Credentials:
    return Credentials(token, proof)


CredentialsDep = Annotated[Credentials, Depends(_credentials)]


class StoredBlob(Shape):
    """Bytes that are in the store now; answered bare, as a reference has it."""

    sha256: str
    size: int
    receipt: str


@router.get("/sample", response_class=StreamingResponse)
def read_sample(
    task_id: UUID,
    attempt: Attempt,
    services: ServicesDep,
    shown: CredentialsDep,
) -> StreamingResponse:
    """Return the bytes of the attempt's sample."""
    with services.database.uow() as tx:
        view = _admit(tx, services, task_id, attempt, shown)
    return raw_answer(services.store, view.sample_sha256)


@router.put("/file/{kind}")
async def write_file(
    task_id: UUID,
    attempt: Attempt,
    kind: Kind,
    request: Request,
    services: ServicesDep,
    shown: CredentialsDep,
) -> StoredBlob:
    """Take in a child, evidence or a large result; the report refers to it."""
    view, room = await in_thread(lambda: _admit_file(services, task_id, attempt, shown))
    limits = services.engine.limits
    # Before it is known what comes: nothing is written that cannot be kept.
    limit = min(limits.sample_max_bytes, room)
    try:
        chunks = received_chunks(request, limit_bytes=limit)
        kept = await run_attempt_reader(
            request, lambda: _keep(services, view, chunks, limit), task_id=task_id
        )
    except SampleTooLargeError:
        if limit < limits.sample_max_bytes:
            raise too_large(limits) from None
        raise
    stored = StoredClaim(
        task_id=task_id,
        attempt=attempt,
        kind=kind,
        sha256=kept.sha256,
        size=kept.size,
    )
    receipt = services.engine.keys.receipt(stored)
    return StoredBlob(sha256=kept.sha256, size=kept.size, receipt=receipt)


@enrolment_router.get("/{name}", status_code=HTTPStatus.NO_CONTENT)
def check_enrolment(
    name: ShortName,
    services: ServicesDep,
    proof: Proof = None,
    replica: Annotated[str, Header(alias=REPLICA_HEADER, max_length=255)] = "",
) -> None:
    """Tell a replica whether it may work: its heartbeats do not come back to it."""
    with services.database.uow() as tx:
        found = find_enrolment(tx, name)
        has_room = has_room_for_replica(tx, name, replica)
    generation = found.generation if found and not found.is_deleted else 0
    secrets = services.engine.keys.enrolment_secrets(name, generation)
    expected = [enrolment_proof(secret, name) for secret in secrets]
    if not generation or not is_one_of(proof, expected):
        raise AuthenticationError(
            f"the header {PROOF_HEADER} is not made with the present secret of {name};"
            f" set ASSAY_WORKER_SECRET to what 'assay worker register {name}' prints"
        )
    if not has_room:
        raise ConflictError(
            f"{name} has {REPLICAS_MAX} replicas, and more would not be heard; stop"
            " some, or give each more slots"
        )


def _admit_file(
    services: Services, task_id: UUID, attempt: int, shown: Credentials
) -> tuple[AttemptView, int]:
    with services.database.uow() as tx:
        view = _admit(tx, services, task_id, attempt, shown)
        limits = services.engine.limits
        return view, room_for_file(tx, task_id, attempt, limits=limits)


def _admit(
    tx: Transaction,
    services: Services,
    task_id: UUID,
    attempt: int,
    shown: Credentials,
) -> AttemptView:
    view = get_attempt(tx, task_id)
    keys = services.engine.keys
    token = shown.token
    if token is None or not keys.is_attempt_token(
        token, task_id, attempt, worker=view.worker
    ):
        raise AuthenticationError(
            f"the header {TOKEN_HEADER} has no valid token for this attempt"
        )
    secrets = keys.enrolment_secrets(view.worker, view.generation)
    if not is_one_of(shown.proof, [attempt_proof(secret, token) for secret in secrets]):
        raise AuthenticationError(
            f"the header {PROOF_HEADER} is not made of the token with the worker's"
            " present enrolment secret"
        )
    view.require_open(attempt)
    return view


def _keep(
    services: Services, view: AttemptView, chunks: Iterator[bytes], limit_bytes: int
) -> Digests:
    received = services.store.receive(chunks, limit_bytes=limit_bytes)
    file = StoredFile(
        task_id=view.task_id,
        attempt=view.attempt,
        sha256=received.digests.sha256,
        size_bytes=received.digests.size,
        sample_sha256=view.sample_sha256,
    )
    try:
        with services.database.uow() as tx:
            reserve_file(tx, file, limits=services.engine.limits)
        services.store.keep(received)
    finally:
        services.store.discard(received)
    return received.digests
