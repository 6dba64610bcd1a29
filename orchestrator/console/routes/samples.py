"""
Samples: finding them, and sending one in by a form or by dropping it.
"""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import quote

from fastapi import Query, Request, Response

from orchestrator.api.deps import CallerDep, Services, ServicesDep, needs
from orchestrator.api.http.body import received_chunks, run_reader
from orchestrator.api.http.storable import StorableText
from orchestrator.catalog.samples import Owner, StoredSample, store_sample
from orchestrator.console.hints import hint
from orchestrator.console.page import page
from orchestrator.console.uploads import file_of, pieces
from orchestrator.console.visitor import READ, SEND, field, pages, see
from orchestrator.db.quotas import count_upload
from orchestrator.domain.values import Role
from orchestrator.flow.order import JobOrder
from orchestrator.flow.submit import create_job
from orchestrator.queries.keywords import Words
from orchestrator.queries.lists import Paging, Period
from orchestrator.queries.search_samples import search_samples

router = pages()

_ROWS: Final = 50
_NAME_MAX: Final = 1_024
_WORD_MAX: Final = 256

Word = Annotated[StorableText, Query(max_length=_WORD_MAX)]
Name = Annotated[StorableText, Query(max_length=_NAME_MAX)]


@router.api_route("/samples", methods=READ)
@needs(Role.VIEWER)
def show_samples(
    request: Request,
    caller: CallerDep,
    services: ServicesDep,
    word: Word = "",
    offset: Annotated[int, Query(ge=0, le=10_000)] = 0,
) -> Response:
    """Show samples, the newest first."""
    words = Words(keywords=tuple(word.split()), match_all=True)
    with services.database.uow() as tx:
        found = search_samples(
            tx,
            words,
            Period(),
            Paging(limit=_ROWS, offset=offset),
            viewer=caller.viewer,
        )
        now = tx.now
    asked = f"?keyword={quote(word)}" if word else ""
    return page(
        request,
        "samples.html",
        now=now,
        samples=found.items,
        word=word,
        offset=offset,
        rows=_ROWS,
        may_upload=caller.role.includes(Role.UPLOADER),
        may_order=caller.role.includes(Role.USER),
        size_max=services.engine.limits.sample_max_bytes,
        hint=hint("assay submit FILE", "GET", f"/sample{asked}"),
    )


@router.api_route("/samples", methods=SEND)
@needs(Role.UPLOADER)
async def add_sample(
    request: Request,
    caller: CallerDep,
    services: ServicesDep,
    name: Name = "",
    analyse: str = "",
) -> Response:
    """Take a sample in, and have it analysed where that was asked for."""
    limits = services.engine.limits
    sent = file_of(request)
    if sent is None:
        chunks = received_chunks(request, limit_bytes=limits.sample_max_bytes)
    else:
        chunks, name = pieces(sent), sent.filename or ""
        analyse = field(request.state.form, "analyse") or ""
    owner = caller.owner

    def store() -> str:
        with services.database.uow() as tx:
            count_upload(tx, caller.user_id, per_minute=limits.uploads_per_minute)
        stored = store_sample(
            services.database,
            services.store,
            chunks,
            limit_bytes=limits.sample_max_bytes,
            owner=owner,
            asked=services.classifier,
        )
        if not analyse or not caller.role.includes(Role.USER):
            return f"/samples/{stored.sha256}"
        return _order(services, stored, owner, name)

    address = await run_reader(request, store, user_id=caller.user_id)
    if sent is not None:
        return see(address)
    # The script goes there once all of them are sent.
    return Response(status_code=201, headers={"Location": address})


def _order(services: Services, stored: StoredSample, owner: Owner, name: str) -> str:
    order = JobOrder(
        sample_sha256=stored.sha256,
        submitter_id=owner.user_id,
        customer_id=owner.customer_id,
        file_name=name or None,
    )
    with services.database.uow() as tx:
        job = create_job(tx, order, engine=services.engine)
    return f"/jobs/{job.job_id}"
