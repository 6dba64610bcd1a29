"""
What routes are given: the services, the caller, and the guard that lets the caller in.

The guard stands before everything: who may not call causes no work and no effect, and
not even the body is read.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from uuid import UUID

import structlog
from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Message
from typing_extensions import override

from orchestrator.api.errors import RESPONSES
from orchestrator.db.unit_of_work import Database
from orchestrator.domain.errors import PermissionDeniedError
from orchestrator.domain.values import HTTP_HOLDER_PREFIX, Role
from orchestrator.flow import keys
from orchestrator.flow.ports import Engine
from orchestrator.store import SampleStore

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

KEY_HEADER = "Argus-API-Key"

#: Bytes of a JSON body. An analysis may be large; this is far above any that is sane,
#: and far below what would hurt a process.
JSON_MAX_BYTES = 16 * 1024 * 1024

_ROLE = "__assay_role__"
_STREAMS = "__assay_streams__"


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """What the API stands on; built by ``bootstrap``."""

    database: Database
    store: SampleStore
    engine: Engine


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Whose key came with the request."""

    user_id: UUID
    customer_id: UUID
    name: str
    role: Role
    key_prefix: str

    @property
    def holder(self) -> str:
        """The name under which this caller holds attempts."""
        return f"{HTTP_HOLDER_PREFIX}{self.key_prefix}"


def needs(role: Role, *, streams: bool = False) -> Callable[[Endpoint], Endpoint]:
    """
    Declare the role that an endpoint needs; :class:`GuardedRoute` refuses one without.

    Args:
        streams: The endpoint reads the body itself and bounds it.
    """

    def declare(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _ROLE, role)
        setattr(endpoint, _STREAMS, streams)
        return endpoint

    return declare


def role_of(route: APIRoute) -> Role | None:
    """Return the role that a route needs; ``None`` for one that nothing guards."""
    role: Role | None = getattr(route.endpoint, _ROLE, None)
    return role


class GuardedRoute(APIRoute):
    """
    A route that authenticates and authorises before it reads the body.

    Raises:
        TypeError: When it is built: its endpoint has no :func:`needs`.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if getattr(endpoint, _ROLE, None) is None:
            raise TypeError(f"{endpoint.__name__}: say which role it needs")
        options["responses"] = {**RESPONSES, **(options.get("responses") or {})}
        super().__init__(path, endpoint, **options)

    @override
    def get_route_handler(
        self,
    ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        role = getattr(self.endpoint, _ROLE)
        streams = getattr(self.endpoint, _STREAMS)

        async def guarded(request: Request) -> Response:
            caller = await run_in_threadpool(_admit, request, role)
            request.state.caller = caller
            structlog.contextvars.bind_contextvars(key=caller.key_prefix)
            return await handle(request if streams else _bounded(request))

        return guarded


def get_services(request: Request) -> Services:
    """Return the services that the app was created with."""
    services: Services = request.app.state.services
    return services


def get_caller(request: Request) -> Caller:
    """Return the caller whom the guard let in."""
    caller: Caller = request.state.caller
    return caller


ServicesDep = Annotated[Services, Depends(get_services)]
CallerDep = Annotated[Caller, Depends(get_caller)]


def _admit(request: Request, role: Role) -> Caller:
    with get_services(request).database.uow() as tx:
        key = keys.authenticate(tx, request.headers.get(KEY_HEADER))
    if not key.user.role.includes(role):
        raise PermissionDeniedError(
            f"this needs the role {role}, the key of '{key.user.name}' has"
            f" {key.user.role}; ask an administrator"
        )
    return Caller(
        user_id=key.user.id,
        customer_id=key.user.customer_id,
        name=key.user.name,
        role=key.user.role,
        key_prefix=key.prefix,
    )


def _bounded(request: Request) -> Request:
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > JSON_MAX_BYTES:
            raise HTTPException(413, f"the body is larger than {JSON_MAX_BYTES} bytes")
        return message

    return Request(request.scope, receive)
