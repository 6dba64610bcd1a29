"""
The live stream for pages: the API's, for who is logged in.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final
from uuid import UUID

from fastapi import Header, Query, Request, Response

from orchestrator.api.deps import CallerDep, needs
from orchestrator.api.events.event import Wanted
from orchestrator.api.events.hub import Hub
from orchestrator.api.events.telling import KeyWatch, follow, respond
from orchestrator.api.http.storable import StorableText
from orchestrator.api.schemas.common import NAME_MAX
from orchestrator.console.visitor import READ, admit_visitor_again, pages
from orchestrator.domain.values import Role

router = pages()

_FILTERS_MAX: Final = 100

Name = Annotated[StorableText, Query(max_length=NAME_MAX)]


@router.api_route("/stream", methods=READ)
@needs(Role.VIEWER)
async def stream(  # noqa: PLR0913, PLR0917  (its filters)
    request: Request,
    caller: CallerDep,
    job: Annotated[list[UUID] | None, Query(max_length=_FILTERS_MAX)] = None,
    sample: Annotated[list[Name] | None, Query(max_length=_FILTERS_MAX)] = None,
    state: Annotated[list[Name] | None, Query(max_length=_FILTERS_MAX)] = None,
    worker: Annotated[list[Name] | None, Query(max_length=_FILTERS_MAX)] = None,
    last_event_id: Annotated[str | None, Header(max_length=NAME_MAX)] = None,
) -> Response:
    """Tell a page what changes."""
    if request.method == "HEAD":
        # There is no end for which anybody could wait.
        return Response(media_type="text/event-stream")
    hub: Hub = request.app.state.hub
    wanted = Wanted(
        jobs=frozenset(job or ()),
        samples=frozenset(sample or ()),
        states=frozenset(state or ()),
        workers=frozenset(worker or ()),
    )
    listener = await hub.join(caller.viewer, wanted, last_id=last_event_id)
    key = KeyWatch(partial(admit_visitor_again, request, Role.VIEWER))
    return respond(follow(hub, listener, key))
