"""
Who visits: a browser's session in place of the API's header, and then the API's guard.

A form is believed if it has the session's own word in it. What was not allowed, or went
wrong, becomes a page, which says what the API would say.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import parse_qs, quote

import structlog
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from typing_extensions import override

from orchestrator.api.deps import (
    JSON_MAX_BYTES,
    Caller,
    address_of,
    admit,
    let_in,
    role_of,
)
from orchestrator.api.http.parameters import (
    PARAMETERS_MAX,
    check_parameters,
    single_parameters,
)
from orchestrator.api.http.threads import in_thread
from orchestrator.catalog.sessions import Session, check_form, recognise
from orchestrator.console.failing import failed
from orchestrator.console.page import HEADERS
from orchestrator.console.uploads import (
    FORM_TYPE,
    UPLOADS,
    close_upload,
    read_upload,
)
from orchestrator.db.unit_of_work import DATABASE_ERRORS, Reader
from orchestrator.domain.errors import AssayError, AuthenticationError, InvalidError
from orchestrator.domain.values import Role

COOKIE: Final = "assay-session"

#: Methods of a route that shows, and of one that changes.
READ: Final = ["GET", "HEAD"]
SEND: Final = ["POST"]

#: The field of each form, and the header of what the script sends, that say of which
#: session it is.
CSRF_FIELD: Final = "csrf"
CSRF_HEADER: Final = "X-Assay-Form"

_FORM_TYPE: Final = "application/x-www-form-urlencoded"

Form = Mapping[str, Sequence[str]]


def pages() -> APIRouter:
    """Return a router of pages for who is logged in."""
    return APIRouter(route_class=PageRoute, include_in_schema=False)


def open_pages() -> APIRouter:
    """Return a router of pages for everybody: those by which one logs in and out."""
    return APIRouter(route_class=OpenPageRoute, include_in_schema=False)


async def get_form(request: Request) -> Form:
    """Return the form that came, which the guard has read."""
    form: Form = request.state.form
    return form


FormDep = Annotated[Form, Depends(get_form)]


class PageRoute(APIRoute):
    """
    A route for who is logged in; others are led to the login.

    Raises:
        TypeError: When it is built: its endpoint has no ``needs``.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        if role_of(self) is None:
            raise TypeError(f"{endpoint.__name__}: say which role it needs")

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        role = role_of(self) or Role.ADMINISTRATOR
        singles = single_parameters(self.dependant)

        async def visited(request: Request) -> Response:
            await in_thread(partial(_let_in, request, role))
            check_parameters(request, singles)
            try:
                if request.method == "POST":
                    await _read_form(request)
                return await handle(request)
            finally:
                await close_upload(request)

        return _answering(visited)


class OpenPageRoute(APIRoute):
    """A route for everybody."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def visited(request: Request) -> Response:
            if request.method == "POST":
                request.state.form = await read_fields(request)
            return await handle(request)

        return _answering(visited)


async def meet(request: Request) -> None:
    """See who visits where anybody may, if it is somebody."""
    with suppress(AssayError, *DATABASE_ERRORS):
        await in_thread(partial(_let_in, request, Role.VIEWER))


def admit_visitor_again(request: Request, role: Role) -> None:
    """
    See whether who is logged in would be let in now.

    Raises:
        AssayError: The session or its key does not count any more, or may less.
    """
    database = request.app.state.services.database
    database.glance(partial(_recognise, request=request, role=role))


def see(address: str) -> Response:
    """Lead to the page that shows what a form has done."""
    return RedirectResponse(address, HTTPStatus.SEE_OTHER, headers=dict(HEADERS))


def field(form: Form, name: str) -> str | None:
    """Return a field of a form that comes once; ``None`` without it."""
    return next(iter(form.get(name, ())), None)


async def read_fields(request: Request) -> Form:
    """
    Read a form.

    Raises:
        HTTPException: It is larger than any of ours.
        InvalidError: It is no form.
    """
    if request.headers.get("Content-Type", "").partition(";")[0] != _FORM_TYPE:
        raise InvalidError(f"send the form as {_FORM_TYPE}", field="body")
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > JSON_MAX_BYTES:
            raise HTTPException(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the form is larger than {JSON_MAX_BYTES} bytes; choose less",
                headers={"Connection": "close"},
            )
    try:
        form = parse_qs(
            received.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=10 * PARAMETERS_MAX,
        )
    except ValueError as error:
        raise InvalidError("cannot be read; send a form", field="body") from error
    if any("\0" in text for texts in form.values() for text in texts):
        raise InvalidError("a field holds NUL; leave it out", field="body")
    return form


def _let_in(request: Request, role: Role) -> None:
    caller = let_in(request, partial(_recognise, request=request, role=role))
    structlog.contextvars.bind_contextvars(key=caller.key_prefix)


def _recognise(tx: Reader, request: Request, role: Role) -> Caller:
    token = request.cookies.get(COOKIE)
    session = recognise(tx, token, address=address_of(request))
    # A page that says no says as well whose it is.
    request.state.session = session
    request.state.caller = admit(tx, session.key, request, Role.VIEWER, anyones=True)
    return admit(tx, session.key, request, role)


async def _read_form(request: Request) -> None:
    session: Session = request.state.session
    sent = request.headers.get(CSRF_HEADER)
    if sent is None:
        request.state.form = await _form_of(request)
        sent = field(request.state.form, CSRF_FIELD)
    # Otherwise the script sends a file, and its route reads it.
    check_form(session, sent)


async def _form_of(request: Request) -> Form:
    kind = request.headers.get("Content-Type", "").partition(";")[0]
    if kind == FORM_TYPE and request.url.path == UPLOADS:
        limits = request.app.state.services.engine.limits
        return await read_upload(request, limit_bytes=limits.sample_max_bytes)
    return await read_fields(request)


def _answering(
    visited: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def answered(request: Request) -> Response:
        try:
            return await visited(request)
        except AuthenticationError as error:
            # Where a key came that counts no more, that is to be said.
            if error.reason is None and request.method in READ:
                return _lead_to_login(request)
            return await failed(request, error)
        except Exception as error:  # noqa: BLE001  (logged, and told as a page)
            return await failed(request, error)

    return answered


def _lead_to_login(request: Request) -> Response:
    asked = request.url.path
    if request.url.query:
        asked = f"{asked}?{request.url.query}"
    wanted = "" if asked == "/" else f"?next={quote(asked, safe='')}"
    return see(f"/login{wanted}")
