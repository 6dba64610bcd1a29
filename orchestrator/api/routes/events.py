"""
The live stream over HTTP: Server-Sent Events of what has changed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Header, Path, Request
from sse_starlette import EventSourceResponse, ServerSentEvent

from orchestrator.api.deps import (
    CallerDep,
    Services,
    ServicesDep,
    admit_again,
    guarded,
    needs,
)
from orchestrator.api.events.asked import WantedDep
from orchestrator.api.events.event import Event, Wanted
from orchestrator.api.events.hub import Hub, Listener
from orchestrator.api.events.reading import Ids, read_events
from orchestrator.api.events.telling import KeyWatch, follow, respond, sent
from orchestrator.api.http.threads import in_thread
from orchestrator.api.schemas.common import NAME_MAX
from orchestrator.db.unit_of_work import DATABASE_ERRORS
from orchestrator.domain.errors import BusyError
from orchestrator.domain.values import Role
from orchestrator.queries import jobs

router = guarded("events")

JobID = Annotated[UUID, Path(alias="jobID")]


_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
        "description": "Events: ``job``, ``task``, ``verdict``, ``worker``, ``reset``.",
    }
}


@router.get("/events", response_class=EventSourceResponse, responses=_STREAM)
@needs(Role.VIEWER)
async def get_events(
    request: Request,
    caller: CallerDep,
    wanted: WantedDep,
    last_event_id: Annotated[str | None, Header(max_length=NAME_MAX)] = None,
) -> EventSourceResponse:
    """Stream what changes; each event is a resource as it is now."""
    hub: Hub = request.app.state.hub
    listener = await hub.join(caller.viewer, wanted, last_id=last_event_id)
    return respond(follow(hub, listener, _key(request)))


@router.get(
    "/job/{jobID}/events", response_class=EventSourceResponse, responses=_STREAM
)
@needs(Role.VIEWER)
async def get_job_events(
    request: Request, job_id: JobID, caller: CallerDep, services: ServicesDep
) -> EventSourceResponse:
    """Stream a job: first as it is, then what changes, until it is over."""
    hub: Hub = request.app.state.hub
    # First, so that nothing between the two is missed.
    listener = await hub.join(caller.viewer, Wanted(jobs=frozenset({job_id})))
    read = partial(_read_job, services, job_id)
    try:
        present = await in_thread(read)
    except BaseException:
        hub.leave(listener)
        raise
    return respond(_follow_job(hub, listener, present, read, _key(request)))


def _key(request: Request) -> KeyWatch:
    return KeyWatch(partial(admit_again, request, Role.VIEWER))


def _read_job(services: Services, job_id: UUID) -> list[Event]:
    with services.database.uow() as tx:
        jobs.get_job(tx, job_id)
        lease = services.engine.limits.lease
        return read_events(tx, Ids(jobs={job_id}), lease=lease)


async def _follow_job(
    hub: Hub,
    listener: Listener,
    present: list[Event],
    read: Callable[[], list[Event]],
    key: KeyWatch,
) -> AsyncIterator[ServerSentEvent]:
    try:
        for event in present:
            yield sent(event)
        is_over = any(event.is_over for event in present)
        since = max(event.read_at for event in present)
        while not (is_over or listener.is_cut_off) and await key.counts():
            told = await listener.next(key.seconds_left)
            # What was read before the present state is older than that.
            if told is None or told.event.read_at < since:
                continue
            if told.event.kind == "reset":
                # Its end may be what was missed, and nobody would tell it again.
                try:
                    missed = await in_thread(read)
                except (BusyError, *DATABASE_ERRORS):
                    # Not now: who comes again begins with how it is then.
                    return
                since = max(event.read_at for event in missed)
            else:
                missed = [told.event]
            for event in missed:
                yield sent(event, id_=told.id)
                is_over = is_over or event.is_over
    finally:
        hub.leave(listener)
