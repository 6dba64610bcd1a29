"""
What replicas read and write over HTTP, with nothing but the token of one attempt.

The token opens this attempt's sample and takes its files, while the attempt is the
task's present one and open. Reports go through the broker.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Path, Request
from fastapi.responses import StreamingResponse

from orchestrator.api.deps import Services, ServicesDep
from orchestrator.api.http.body import raw_answer, received_chunks, run_reader
from orchestrator.api.http.envelope import Shape
from orchestrator.api.http.errors import RESPONSES
from orchestrator.api.http.threads import in_thread
from orchestrator.contracts.wire import TOKEN_HEADER
from orchestrator.domain.errors import AuthenticationError
from orchestrator.queries.tasks import AttemptView, get_attempt

router = APIRouter(
    prefix="/internal/task/{task_id}/{attempt}", tags=["internal"], responses=RESPONSES
)

Attempt = Annotated[int, Path(ge=1, le=2**31 - 1)]
Token = Annotated[str | None, Header(alias=TOKEN_HEADER)]
Kind = Literal["child", "evidence", "result"]


class StoredBlob(Shape):
    """Bytes that are in the store now; answered bare, as a reference has it."""

    sha256: str
    size: int


@router.get("/sample", response_class=StreamingResponse)
def read_sample(
    task_id: UUID, attempt: Attempt, services: ServicesDep, token: Token = None
) -> StreamingResponse:
    """Return the bytes of the attempt's sample."""
    view = _admit(services, task_id, attempt, token)
    return raw_answer(services.store, view.sample_sha256)


@router.put("/file/{kind}")
async def write_file(
    task_id: UUID,
    attempt: Attempt,
    kind: Kind,  # noqa: ARG001  (checked by its type; the report says it again)
    request: Request,
    services: ServicesDep,
    token: Token = None,
) -> StoredBlob:
    """Take in a child, evidence or a large result; the report refers to it."""
    await in_thread(lambda: _admit(services, task_id, attempt, token))
    limit = services.engine.limits.sample_max_bytes
    chunks = received_chunks(request, limit_bytes=limit)
    return await run_reader(
        request, lambda: _keep(services, chunks, limit), user_id=None
    )


def _admit(
    services: Services, task_id: UUID, attempt: int, token: str | None
) -> AttemptView:
    with services.database.uow() as tx:
        view = get_attempt(tx, task_id)
    keys = services.engine.keys
    if token is None or not keys.is_attempt_token(
        token, task_id, attempt, worker=view.worker
    ):
        raise AuthenticationError(
            f"the header {TOKEN_HEADER} has no valid token for this attempt"
        )
    view.require_open(attempt)
    return view


def _keep(services: Services, chunks: Iterator[bytes], limit_bytes: int) -> StoredBlob:
    received = services.store.receive(chunks, limit_bytes=limit_bytes)
    try:
        services.store.keep(received)
    finally:
        services.store.discard(received)
    return StoredBlob(sha256=received.digests.sha256, size=received.digests.size)
