"""
Logging in with an API key, and out.

The form of the login has a word of its own, which the browser's cookie has too: nobody
logs another's browser in to a session of theirs.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Final

from fastapi import Request, Response

from orchestrator.api.deps import ServicesDep, address_of, needs, note_refusal
from orchestrator.catalog.sessions import (
    OpenedSession,
    close_session,
    open_session,
)
from orchestrator.console.page import page
from orchestrator.console.visitor import (
    COOKIE,
    CSRF_FIELD,
    READ,
    SEND,
    FormDep,
    field,
    open_pages,
    pages,
    see,
)
from orchestrator.domain.errors import AuthenticationError, PermissionDeniedError
from orchestrator.domain.values import Role

router = open_pages()
inner = pages()

_LOGIN_COOKIE: Final = "assay-login"
_WORD_BYTES: Final = 32

#: Characters of an address within the console.
_NEXT_MAX: Final = 2_000


@router.api_route("/login", methods=READ)
async def show_login(request: Request, next: str = "/") -> Response:  # noqa: A002  (as browsers' people know it)
    """Ask for a key."""
    return _login_page(request, next)


@router.api_route("/login", methods=SEND)
def log_in(request: Request, form: FormDep, services: ServicesDep) -> Response:
    """Open a session, and lead to where somebody wanted to go."""
    wanted = field(form, "next") or "/"
    _check_word(request, field(form, CSRF_FIELD))
    address = address_of(request)
    presented = (field(form, "key") or "").strip()
    try:
        with services.database.uow() as tx:
            opened = open_session(tx, presented, address=address)
    except AuthenticationError as refused:
        note_refusal(request, refused)
        return _login_page(request, wanted, refused=refused)
    answer = see(_inner_address(wanted))
    _set_cookie(request, answer, COOKIE, opened.token, lasts=opened)
    answer.delete_cookie(_LOGIN_COOKIE)
    return answer


@inner.api_route("/logout", methods=SEND)
@needs(Role.VIEWER)
def log_out(request: Request, services: ServicesDep) -> Response:
    """End the session."""
    with services.database.uow() as tx:
        close_session(tx, request.cookies[COOKIE])
    answer = see("/login")
    answer.delete_cookie(COOKIE)
    return answer


router.include_router(inner)


def _login_page(
    request: Request, wanted: str, *, refused: AuthenticationError | None = None
) -> Response:
    word = request.cookies.get(_LOGIN_COOKIE) or secrets.token_urlsafe(_WORD_BYTES)
    answer = page(
        request,
        "login.html",
        now=None,
        status=200 if refused is None else 401,
        wanted=_inner_address(wanted),
        word=word,
        refused=None if refused is None else refused.message,
    )
    _set_cookie(request, answer, _LOGIN_COOKIE, word)
    return answer


def _check_word(request: Request, sent: str | None) -> None:
    kept = request.cookies.get(_LOGIN_COOKIE, "")
    if not kept or not hmac.compare_digest((sent or "").encode(), kept.encode()):
        raise PermissionDeniedError(
            "the form is too old, or the browser keeps no cookies; open /login again"
        )


def _set_cookie(
    request: Request,
    answer: Response,
    name: str,
    value: str,
    *,
    lasts: OpenedSession | None = None,
) -> None:
    answer.set_cookie(
        name,
        value,
        max_age=None if lasts is None else int(lasts.lasts.total_seconds()),
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


def _inner_address(wanted: str) -> str:
    # What begins with two slashes, or a backslash, is another host to a browser.
    is_inner = wanted.startswith("/") and wanted[1:2] not in {"/", "\\"}
    is_plain = wanted.isprintable() and len(wanted) <= _NEXT_MAX
    return wanted if is_inner and is_plain else "/"
