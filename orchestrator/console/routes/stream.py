"""
The live stream for pages: the API's, for who is logged in.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import Header, Request, Response

from orchestrator.api.deps import CallerDep, needs
from orchestrator.api.events.asked import WantedDep
from orchestrator.api.events.hub import Hub
from orchestrator.api.events.telling import KeyWatch, follow, respond
from orchestrator.api.schemas.common import NAME_MAX
from orchestrator.console.visitor import READ, admit_visitor_again, pages
from orchestrator.domain.values import Role

router = pages()


@router.api_route("/stream", methods=READ)
@needs(Role.VIEWER)
async def stream(
    request: Request,
    caller: CallerDep,
    wanted: WantedDep,
    last_event_id: Annotated[str | None, Header(max_length=NAME_MAX)] = None,
) -> Response:
    """Tell a page what changes."""
    if request.method == "HEAD":
        # There is no end for which anybody could wait.
        return Response(media_type="text/event-stream")
    hub: Hub = request.app.state.hub
    listener = await hub.join(caller.viewer, wanted, last_id=last_event_id)
    key = KeyWatch(partial(admit_visitor_again, request, Role.VIEWER))
    return respond(follow(hub, listener, key))
