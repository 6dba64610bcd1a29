"""
What went wrong, as HTTP: one table from the tree of ``domain/errors.py`` to statuses.

Every answer is an envelope, and none shows anything of the inside.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import DataError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from orchestrator.api.http.envelope import Failure, MessageType, ResultMessage
from orchestrator.api.http.sparing import MISTAKES_MAX
from orchestrator.db.sql_errors import told
from orchestrator.domain import errors

log = structlog.get_logger(__name__)

#: The nearest class of an error's ancestry decides. A test walks the whole tree.
STATUSES: Mapping[type[errors.AssayError], HTTPStatus] = {
    errors.AssayError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.InvalidError: HTTPStatus.PRECONDITION_FAILED,
    errors.UnknownWorkerError: HTTPStatus.PRECONDITION_FAILED,
    errors.SampleTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.AttemptTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.LimitExceededError: HTTPStatus.TOO_MANY_REQUESTS,
    errors.WholeSampleNeededError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.NotFoundError: HTTPStatus.NOT_FOUND,
    errors.ConflictError: HTTPStatus.PRECONDITION_FAILED,
    errors.IllegalTransitionError: HTTPStatus.PRECONDITION_FAILED,
    errors.HeldByOtherError: HTTPStatus.PRECONDITION_FAILED,
    errors.IdempotencyConflictError: HTTPStatus.PRECONDITION_FAILED,
    errors.AuthenticationError: HTTPStatus.UNAUTHORIZED,
    errors.PermissionDeniedError: HTTPStatus.FORBIDDEN,
    errors.SampleMissingError: HTTPStatus.NOT_FOUND,
    errors.UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StoreUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.BusyError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.SupersededError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ConfigurationError: HTTPStatus.INTERNAL_SERVER_ERROR,
}

RETRY_AFTER_HEADER: Mapping[str, Any] = {
    "Retry-After": {
        "description": "Seconds after which it may succeed.",
        "schema": {"type": "integer", "minimum": 1},
    }
}

#: An envelope, by the name that the "default" of :data:`RESPONSES` brings into the
#: documentation: a model in each place would be built anew, five hundred times.
_FAILURE = {"application/json": {"schema": {"$ref": "#/components/schemas/Failure"}}}

_Handler = Callable[[Request, Exception], Awaitable[JSONResponse]]

#: What every route may answer, for the documentation.
RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {"content": _FAILURE, "description": "The key is missing or not valid."},
    403: {"content": _FAILURE, "description": "The key's role does not allow this."},
    404: {"content": _FAILURE, "description": "There is no such thing."},
    412: {"content": _FAILURE, "description": "The request is off; fields are named."},
    500: {"content": _FAILURE, "description": "A fault of ours; it has been logged."},
    503: {
        "content": _FAILURE,
        "description": "Not handled; try again.",
        "headers": RETRY_AFTER_HEADER,
    },
    # Without this, FastAPI documents a 422 that nobody here answers.
    "default": {"model": Failure, "description": "Anything else that went wrong."},
}

#: What a route may answer besides that counts against a limit of the caller.
LIMITED: dict[int | str, dict[str, Any]] = {
    429: {
        "content": _FAILURE,
        "description": "The caller has had enough for now.",
        "headers": RETRY_AFTER_HEADER,
    },
}

#: What a route may answer besides that takes a body.
BODY_RESPONSES: dict[int | str, dict[str, Any]] = {
    408: {
        "content": _FAILURE,
        "description": "The body came too slowly, or not at all.",
    },
    413: {"content": _FAILURE, "description": "The body is too large."},
}

#: Characters of a wrong value that are repeated to the caller; and of a field's path,
#: or of words about it, which may repeat what came too.
_ECHO_MAX = 128
_WORDS_MAX = 1_000

#: What the database made of a request, where it is not a domain error.
NOT_STORED = "a value cannot be stored: it holds NUL, or is out of range; change it"
NOT_ANSWERED = "the database did not answer; nothing was done, try again"

#: Seconds. A restarted database is back within a few of them.
RETRY_AFTER = {"Retry-After": "1"}

#: What any statement may raise while the database is away.
UNAVAILABLE = (OperationalError, InterfaceError, PoolTimeoutError)


def status_of(error: errors.AssayError) -> HTTPStatus:
    """Return the status that a domain error is answered with."""
    return next(STATUSES[cls] for cls in type(error).__mro__ if cls in STATUSES)


def failure(
    status: int,
    messages: Sequence[ResultMessage],
    *,
    code: str,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Wrap messages into the answer of a failed request."""
    body = Failure(
        response_code=status, messages=list(messages), meta_data={"code": code}
    )
    return JSONResponse(
        body.model_dump(mode="json", by_alias=True), status, headers=dict(headers or {})
    )


def general(text: str) -> ResultMessage:
    """Return a message about the request as a whole."""
    text = _sendable(text)
    return ResultMessage(
        message=text, message_template=text, type=MessageType.ACTION_ERROR
    )


def about_field(text: str, field: str, parameter: str | None = None) -> ResultMessage:
    """Return a message about one field; *parameter* is the value that came."""
    text = _sendable(text)
    return ResultMessage(
        message=text,
        message_template=text,
        type=MessageType.FIELD_ERROR,
        field=_sendable(field),
        parameter=parameter,
    )


def message_of(error: errors.AssayError) -> ResultMessage:
    """Return what a domain error says."""
    if error.field:
        return about_field(error.message, error.field)
    return general(error.message)


def last_resort(exc: Exception) -> JSONResponse:
    """Answer what nobody has foreseen: logged here, once, and told to nobody."""
    return _internal(exc)


def install(app: FastAPI) -> None:
    """Let every failure of *app* leave as an envelope."""
    for kind in _handlers():
        app.add_exception_handler(kind, answer)


async def answer(request: Request, exc: Exception) -> JSONResponse:
    """
    Return what is said of a failure.

    Raises:
        Exception: Itself, where nobody has foreseen it: :func:`last_resort`.
    """
    handlers = _handlers()
    for kind in type(exc).__mro__:
        if kind in handlers:
            return await handlers[kind](request, exc)
    raise exc


def _handlers() -> Mapping[
    type, Callable[[Request, Exception], Awaitable[JSONResponse]]
]:
    return {
        errors.AssayError: _domain_error,
        RequestValidationError: _validation_error,
        HTTPException: _http_error,
        DataError: _data_error,
        **dict.fromkeys(UNAVAILABLE, _database_error),
        ClientDisconnect: _gone,
    }


async def _domain_error(_request: Request, exc: Exception) -> JSONResponse:
    if not isinstance(exc, errors.AssayError):
        raise exc
    status = status_of(exc)
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        return _internal(exc)
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        log.warning("request.not_handled", code=exc.code, **_cause(exc))
    return failure(status, [message_of(exc)], code=exc.code, headers=_headers(exc))


def _cause(error: Exception) -> dict[str, str | None]:
    # An object store's own words may hold a signed URL: its kind of error must do.
    cause = error.__cause__
    reason = cause.strerror if isinstance(cause, OSError) else None
    return {"error": type(cause).__name__, "reason": reason}


def _headers(error: errors.AssayError) -> Mapping[str, str]:
    if isinstance(error, errors.LimitExceededError):
        return {"Retry-After": str(error.retry_after_seconds)}
    if isinstance(error, errors.UnavailableError):
        return RETRY_AFTER
    return {}


async def _validation_error(_request: Request, exc: Exception) -> JSONResponse:
    if not isinstance(exc, RequestValidationError):
        raise exc
    messages = validation_messages(exc.errors())
    return failure(HTTPStatus.PRECONDITION_FAILED, messages, code="invalid")


async def _http_error(request: Request, exc: Exception) -> JSONResponse:
    if not isinstance(exc, HTTPException):
        raise exc
    if exc.status_code == HTTPStatus.BAD_REQUEST:
        # FastAPI's word for JSON that is not even text, or nested without end.
        message = about_field("cannot be read; send JSON in UTF-8", "body")
        status = HTTPStatus.PRECONDITION_FAILED
        return failure(status, [message], code="invalid")
    phrase = HTTPStatus(exc.status_code).phrase
    code = phrase.lower().replace(" ", "_")
    text = str(exc.detail) or phrase
    headers = dict(exc.headers or {})
    if exc.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return failure(exc.status_code, [general(text)], code=code, headers=headers)


def _methods(request: Request) -> set[str]:
    # Each route knows of its own method alone. The first route that has the path is the
    # one with the fewest holes: /job/search goes before /job/{jobID}.
    contexts = list(iter_route_contexts(request.app.routes))
    matching = [
        context
        for context in contexts
        if context.matches(request.scope)[0] is not Match.NONE
    ]
    template = matching[0].path
    return {
        method
        for context in matching
        if context.path == template and context.include_in_schema
        for method in context.methods or ()
    }


async def _data_error(_request: Request, exc: Exception) -> JSONResponse:
    log.info("request.refused_by_database", error=type(exc).__name__)
    message = general(NOT_STORED)
    return failure(HTTPStatus.PRECONDITION_FAILED, [message], code="invalid")


async def _database_error(_request: Request, exc: Exception) -> JSONResponse:
    log.warning("database.unavailable", **told(exc))
    status = HTTPStatus.SERVICE_UNAVAILABLE
    message = general(NOT_ANSWERED)
    return failure(status, [message], code="unavailable", headers=RETRY_AFTER)


async def _gone(_request: Request, _exc: Exception) -> JSONResponse:
    # Nobody reads this; it only ends the request in order.
    text = "the client went away before the body was complete"
    return failure(HTTPStatus.BAD_REQUEST, [general(text)], code="disconnected")


def _internal(exc: Exception) -> JSONResponse:
    log.error("request.failed", exc_info=exc)
    message = general("a fault of ours; it has been logged, try again or report it")
    return failure(HTTPStatus.INTERNAL_SERVER_ERROR, [message], code="internal")


def validation_messages(found: Sequence[Mapping[str, Any]]) -> list[ResultMessage]:
    """
    Return what is wrong with a form.

    Args:
        found: pydantic's errors; where each is begins with ``body``, ``query`` or
            ``path``.
    """
    messages = list(_messages(found[:MISTAKES_MAX]))
    if len(found) >= MISTAKES_MAX:
        # Nobody has looked any further.
        messages.append(general(f"and perhaps more than these {MISTAKES_MAX}"))
    return messages


def _messages(found: Iterable[Mapping[str, Any]]) -> Iterable[ResultMessage]:
    for error in found:
        # 'body', 'query' and 'path' say where it was; the rest is the field's path.
        where = [str(part) for part in error["loc"]]
        if error["type"] == "json_invalid":
            reason, position = error["ctx"]["error"], where[-1]
            at = f" at {position}" if position != "0" else ""
            yield about_field(f"not JSON: {reason}{at}", "body")
            continue
        field = ".".join(where[1:]) or where[0]
        yield about_field(_remedy(error), field, _echo(error.get("input")))


def _remedy(error: Mapping[str, Any]) -> str:
    text = str(error["msg"]).removeprefix("Value error, ")
    match error["type"]:
        case "missing":
            return "is required; send it"
        case "extra_forbidden":
            return "is not known; leave it out"
        case "model_attributes_type" if isinstance(error.get("input"), bytes):
            return "is not JSON; send Content-Type: application/json"
        case "too_long" | "too_short" if isinstance(error.get("input"), str):
            text = text.replace(" items after validation", " characters")
            return text.replace(" item after validation", " character").lower()
        case _:
            return text[:1].lower() + text[1:]


def _echo(value: object) -> str | None:
    if not isinstance(value, str | int | float | bool):
        return None
    return _sendable(str(value), _ECHO_MAX)


def _sendable(text: str, most: int = _WORDS_MAX) -> str:
    # A lone surrogate, of what the caller has sent, cannot be sent back as UTF-8.
    return text[:most].encode("utf-8", "replace").decode()
