"""
What went wrong, as a page: the sentence and the status that the API would give.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import Request, Response

from orchestrator.api.http import errors
from orchestrator.api.http.envelope import Envelope
from orchestrator.console.page import page

_TITLES = {
    HTTPStatus.UNAUTHORIZED: "Log in",
    HTTPStatus.FORBIDDEN: "Not for you",
    HTTPStatus.NOT_FOUND: "There is no such thing",
    HTTPStatus.PRECONDITION_FAILED: "Not like this",
    HTTPStatus.SERVICE_UNAVAILABLE: "Not now",
    HTTPStatus.INTERNAL_SERVER_ERROR: "A fault of ours",
}


async def failed(request: Request, error: Exception) -> Response:
    """Return the page of a failure."""
    try:
        said = await errors.answer(request, error)
    except Exception as unforeseen:  # noqa: BLE001  (logged there, once)
        said = errors.last_resort(unforeseen)
    failure: Envelope[Any] = Envelope[Any].model_validate_json(bytes(said.body))
    answer = page(
        request,
        "failed.html",
        now=None,
        status=said.status_code,
        title=_TITLES.get(HTTPStatus(said.status_code), "That did not work"),
        code=said.status_code,
        messages=failure.messages,
    )
    for name in ("Retry-After", "Allow", "Connection"):
        if name in said.headers:
            answer.headers[name] = said.headers[name]
    return answer
