"""
The app: routers, documentation and what surrounds every request.

It reads no setting: what it stands on is passed in.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api.deps import KEY_HEADER, KEY_SCHEME, Services
from orchestrator.api.events.hub import Hub
from orchestrator.api.http import errors
from orchestrator.api.http.body import READERS_PER_ATTEMPT, READERS_PER_USER, Readers
from orchestrator.api.http.body_deadline import BodyDeadline
from orchestrator.api.http.envelope import NO_GUESSING
from orchestrator.api.http.parameters import PARAMETERS_MAX, has_too_many
from orchestrator.api.routes import (
    analysis,
    audit,
    bulk,
    events,
    evidence,
    find,
    health,
    internal,
    job,
    link,
    metrics,
    poison,
    policy,
    sample,
    session,
    submission,
    task,
    unsupported,
    verdict,
    webhook,
    worker,
)
from orchestrator.catalog.logins import FailedLogins

#: Each route is tried until one fits: those that are asked for each job, or for each
#: task, come first.
_ROUTERS = (
    bulk.router,
    events.router,
    job.router,
    internal.router,
    *(
        module.router
        for module in (
            sample,
            submission,
            task,
            analysis,
            evidence,
            link,
            verdict,
            worker,
            policy,
            find,
            webhook,
            poison,
            audit,
            unsupported,
            session,
            health,
            metrics,
        )
    ),
    internal.enrolment_router,
)

_SLASHES = re.compile(r"/{2,}")

#: What the path says that a request is about.
_ABOUT = re.compile(
    r"/job/(?P<job>[0-9a-f-]{36})|/task/(?P<task>[0-9a-f-]{36})(/(?P<attempt>\d{1,9}))?"
)

_TOO_MANY = errors.failure(
    HTTPStatus.PRECONDITION_FAILED,
    [errors.general(f"the address has more than {PARAMETERS_MAX} parameters")],
    code="invalid",
)

_DESCRIPTION = """
Fans a sample out to analysis workers and brings a trustworthy verdict back.

Every JSON answer is an envelope; what went wrong is in `messages`, with the field that
is to be changed, and `metaData.code` names it for programs.
"""


def create_app(services: Services) -> FastAPI:
    """Return the API on top of *services*."""
    app = FastAPIOffline(
        # All that the page needs comes from here: it has no other host to ask.
        docs_url="/docs",
        redoc_url=None,
        title="Assay",
        description=_DESCRIPTION,
        version="2",
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.readers = Readers(READERS_PER_USER)
    app.state.attempt_readers = Readers(READERS_PER_ATTEMPT)
    app.state.failed_logins = FailedLogins()
    app.state.hub = Hub(services.database, services.engine)
    errors.install(app)
    app.add_middleware(BodyDeadline)
    app.add_middleware(Surroundings)
    for router in _ROUTERS:
        # As they are: a router that is included stands between each request and them.
        app.router.routes.extend(router.routes)
    _document_keys(app)
    return app


def _document_keys(app: FastAPI) -> None:
    # By hand: what FastAPI documents by itself, it also asks at each request.
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        schema = describe()
        schema["components"]["securitySchemes"] = {
            KEY_SCHEME: {"type": "apiKey", "in": "header", "name": KEY_HEADER}
        }
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's way to extend it


class Surroundings:
    """
    What every request gets: a forgiving path, a clean log context, a last resort, and
    an answer of whose type no browser makes a guess.

    Clients may write a slash at the end, or two at the start when the base URL has one.
    An exception that nothing else answers is logged here, once, and answered.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], NO_GUESSING]}
            await send(message)

        path = _SLASHES.sub("/", scope["path"])
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(
            method=scope["method"], path=path, **_ids(path)
        )
        scope = {**scope, "path": path.rstrip("/") or "/"}
        if has_too_many(scope["query_string"]):
            await _TOO_MANY(scope, receive, marked)
            return
        await self._guarded(scope, receive, marked)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as exc:
            answer = errors.last_resort(exc)
            if started:
                # Too late for an answer: the server ends the connection, so that the
                # client sees that it has not got everything.
                raise
            await answer(scope, receive, send)


def _ids(path: str) -> dict[str, str | int]:
    found = _ABOUT.search(path)
    named = {} if found is None else found.groupdict()
    return {
        name: int(text) if name == "attempt" else text
        for name, text in named.items()
        if text is not None
    }
