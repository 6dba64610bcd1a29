"""
What routes are given: the services, the caller, and the guard that lets the caller in.

The guard stands before everything: who may not call causes no work and no effect, and
not even the body is read.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from inspect import iscoroutinefunction, isfunction
from typing import Annotated, Any, TypeVar
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Scope
from typing_extensions import override

from orchestrator.api.http.envelope import answering
from orchestrator.api.http.errors import BODY_RESPONSES, RESPONSES
from orchestrator.api.http.parameters import check_parameters, single_parameters
from orchestrator.api.http.threads import in_thread
from orchestrator.catalog import keys
from orchestrator.catalog.logins import FailedLogins
from orchestrator.catalog.samples import Owner
from orchestrator.classify import SecondOpinion
from orchestrator.contracts.json_size import (
    RESULT_NODES_MAX,
    DocumentError,
    check_document,
)
from orchestrator.db import access
from orchestrator.db.unit_of_work import Database, Reader
from orchestrator.db.users import Key
from orchestrator.domain.addresses import Network
from orchestrator.domain.errors import (
    AuthenticationError,
    InvalidError,
    PermissionDeniedError,
)
from orchestrator.domain.values import HTTP_HOLDER_PREFIX, Actor, Role
from orchestrator.domain.viewer import Viewer
from orchestrator.flow.ports import Engine
from orchestrator.store import SampleStore

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
Let = TypeVar("Let")

SAMPLEDB_PREFIX = "/sampledb/v2"

KEY_HEADER = "Argus-API-Key"

#: How the document of the API names the key.
KEY_SCHEME = "APIKeyHeader"

#: Of a JSON body: bytes, and values and keys. A thousand names of the longest fit.
JSON_MAX_BYTES = 256 * 1024
JSON_NODES_MAX = 20_000

#: Of an analysis, whose result is anybody's. Far above any that is sane, and far below
#: what would hurt a process.
ANALYSIS_MAX_BYTES = 16 * 1024 * 1024

_ROLE = "__assay_role__"
_BODY = "__assay_body__"
_ANYONES = "__assay_anyones__"

_BODY_METHODS = frozenset({"POST", "PUT"})

#: Characters of a wrong key that are repeated to the caller.
_KEY_MAX = 128

_SHA256 = re.compile("[0-9a-fA-F]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """
    What the API stands on; built by ``bootstrap``.

    ``classifier``: who is asked what a file is where our own rules are not sure, if
    anybody is. ``webhook_networks``: which may be called beside the public internet.
    """

    database: Database
    store: SampleStore
    engine: Engine
    classifier: SecondOpinion | None = None
    webhook_networks: Sequence[Network] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Whose key came with the request."""

    viewer: Viewer
    name: str
    role: Role
    key_prefix: str
    #: The client's IP address, where it is known.
    address: str | None

    @property
    def actor(self) -> Actor:
        """Who does it, for the history and the audit trail."""
        return Actor(f"user {self.name}", self.address, self.user_id)

    @property
    def user_id(self) -> UUID:
        """Whose name stands on what is done."""
        return self.viewer.user_id

    @property
    def customer_id(self) -> UUID:
        """For whom it is done, unless somebody else is named."""
        return self.viewer.customer_id

    @property
    def owner(self) -> Owner:
        """
        Whose what they bring is.

        Raises:
            PermissionDeniedError: The key is limited, and not to that customer.
        """
        access.check_customer(self.viewer, self.customer_id)
        return Owner(user_id=self.user_id, customer_id=self.customer_id)

    @property
    def holder(self) -> str:
        """The name under which this caller holds attempts."""
        return f"{HTTP_HOLDER_PREFIX}{self.key_prefix}"


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """How much a JSON body may hold: bytes, and values and keys."""

    size_bytes: int
    nodes: int


ORDINARY = BodyLimit(JSON_MAX_BYTES, JSON_NODES_MAX)
ANALYSIS = BodyLimit(ANALYSIS_MAX_BYTES, RESULT_NODES_MAX)


def needs(
    role: Role,
    *,
    anyones: bool = False,
    body: BodyLimit = ORDINARY,
) -> Callable[[Endpoint], Endpoint]:
    """
    Declare the role that an endpoint needs; :class:`GuardedRoute` refuses one without.

    Args:
        anyones: The sample in the path may be another customer's.
        body: How much JSON it takes.
    """

    def declare(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, _ROLE, role)
        setattr(endpoint, _BODY, body)
        setattr(endpoint, _ANYONES, anyones)
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
        TypeError: When it is built: its endpoint has no :func:`needs`, or it is given
            something by a function that is not async, for which FastAPI takes a thread.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if getattr(endpoint, _ROLE, None) is None:
            raise TypeError(f"{endpoint.__name__}: say which role it needs")
        takes_body = not _BODY_METHODS.isdisjoint(options.get("methods") or ())
        sent = BODY_RESPONSES if takes_body else {}
        options["responses"] = {
            **RESPONSES,
            **sent,
            **(options.get("responses") or {}),
        }
        options["openapi_extra"] = {
            "security": [{KEY_SCHEME: []}],
            **(options.get("openapi_extra") or {}),
        }
        # Clients leave Content-Type out; what is not JSON is refused all the same.
        options["strict_content_type"] = False
        super().__init__(path, answering(endpoint), **options)
        for function in _givers(self.dependant):
            if not iscoroutinefunction(function):
                raise TypeError(
                    f"{function.__name__}: make it async; it takes a thread"
                )

    @override
    def get_route_handler(
        self,
    ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        role = getattr(self.endpoint, _ROLE)
        limit = getattr(self.endpoint, _BODY)
        anyones = getattr(self.endpoint, _ANYONES)
        singles = single_parameters(self.dependant)

        async def guarded(request: Request) -> Response:
            admit_key = partial(_admit_key, request=request, role=role, anyones=anyones)
            caller = await in_thread(partial(let_in, request, admit_key))
            request.state.caller = caller
            structlog.contextvars.bind_contextvars(key=caller.key_prefix)
            check_parameters(request, singles)
            if self.body_field is not None:
                request = await _read_json(request, limit)
            return await handle(request)

        return guarded


def guarded(tag: str) -> APIRouter:
    """Return a router for the contract's operations, each behind the guard."""
    return APIRouter(route_class=GuardedRoute, prefix=SAMPLEDB_PREFIX, tags=[tag])


async def get_services(request: Request) -> Services:
    """Return the services that the app was created with."""
    services: Services = request.app.state.services
    return services


async def get_caller(request: Request) -> Caller:
    """Return the caller whom the guard let in."""
    caller: Caller = request.state.caller
    return caller


ServicesDep = Annotated[Services, Depends(get_services)]
CallerDep = Annotated[Caller, Depends(get_caller)]


def _givers(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    for given in dependant.dependencies:
        if given.call is not None and isfunction(given.call):
            yield given.call
        yield from _givers(given)


def admit_again(request: Request, role: Role) -> None:
    """
    See whether who was let in would be so now.

    Raises:
        AssayError: The key does not count any more, or may less.
    """
    services: Services = request.app.state.services
    admit_key = partial(_admit_key, request=request, role=role, anyones=False)
    services.database.glance(admit_key)


def let_in(request: Request, admitting: Callable[[Reader], Let]) -> Let:
    """
    Return what *admitting* found, and count who was not let in.

    Raises:
        AssayError: Whatever *admitting* raises.
    """
    services: Services = request.app.state.services
    try:
        return services.database.glance(admitting)
    except AuthenticationError as refused:
        note_refusal(request, refused)
        raise


def note_refusal(request: Request, refused: AuthenticationError) -> None:
    """Count a login that failed."""
    services: Services = request.app.state.services
    failed: FailedLogins = request.app.state.failed_logins
    failed.note(services.database, refused, address=address_of(request))


def address_of(request: Request) -> str | None:
    """Return the IP address that a request came from, where it is known."""
    return request.client.host if request.client else None


def admit(
    tx: Reader, key: Key, request: Request, role: Role, *, anyones: bool = False
) -> Caller:
    """
    Return whom a key lets in: the one rule, however the key was shown.

    Args:
        anyones: As of :func:`needs`.

    Raises:
        PermissionDeniedError: The key's role is less than *role*, or the object in the
            path is another customer's.
    """
    if not key.role.includes(role):
        raise PermissionDeniedError(
            f"this needs the role {role}, the key of '{key.user.name}' has"
            f" {key.role}; ask an administrator"
        )
    viewer = keys.viewer_of(key)
    if not anyones:
        _check_object(tx, viewer, request.path_params)
    return Caller(
        viewer=viewer,
        name=key.user.name,
        role=key.role,
        key_prefix=key.prefix,
        address=address_of(request),
    )


def _admit_key(tx: Reader, request: Request, role: Role, *, anyones: bool) -> Caller:
    presented = request.headers.get(KEY_HEADER)
    key = keys.authenticate(tx, presented, address=address_of(request))
    return admit(tx, key, request, role, anyones=anyones)


def _check_object(tx: Reader, viewer: Viewer, path: Mapping[str, str]) -> None:
    # What is malformed is refused later, by name; here it only is nobody's.
    if _SHA256.fullmatch(path.get("sha256", "")):
        access.check_sample(tx, viewer, path["sha256"].lower())
    with suppress(ValueError):
        if "jobID" in path:
            access.check_job(tx, viewer, UUID(path["jobID"]))


async def _read_json(request: Request, limit: BodyLimit) -> Request:
    too_large = HTTPException(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body is larger than {limit.size_bytes} bytes; send less",
        # The rest of it is not read.
        headers={"Connection": "close"},
    )
    announced = request.headers.get("Content-Length", "0")
    # h11 takes no more than twenty digits.
    if announced.isdecimal() and int(announced) > limit.size_bytes:
        raise too_large
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > limit.size_bytes:
            raise too_large
    body = bytes(received)
    try:
        check_document(body, nodes_max=limit.nodes)
    except DocumentError as error:
        raise InvalidError(str(error), field="body") from error
    return _JSONRequest(request.scope, body)


class _JSONRequest(Request):
    """A request whose body has come; its JSON is in UTF-8 and says nothing twice."""

    def __init__(self, scope: Scope, body: bytes) -> None:
        super().__init__(scope)
        self._body = body

    @override
    async def json(self) -> Any:
        try:
            return json.loads(self._body.decode(), object_pairs_hook=_each_key_once)
        except UnicodeDecodeError as error:
            raise json.JSONDecodeError("not UTF-8", "", error.start) from error
        except json.JSONDecodeError:
            raise
        except ValueError as error:
            # Reading a number costs the square of its digits, so Python stops there.
            text = f"a number has more than {sys.get_int_max_str_digits()} digits"
            raise json.JSONDecodeError(text, "", 0) from error


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counted = Counter(key for key, _ in pairs)
        twice = next(key for key, times in counted.items() if times > 1)
        raise json.JSONDecodeError(f"the key {twice[:_KEY_MAX]!a} comes twice", "", 0)
    return found
