"""
Puts the console into the API's app: its routes, and what they stand on.
"""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from orchestrator.api.http import errors
from orchestrator.console.failing import failed
from orchestrator.console.routes import (
    admin,
    failures,
    find,
    job,
    jobs,
    login,
    overview,
    policy,
    sample,
    samples,
    stream,
    task,
    webhooks,
    workers,
)
from orchestrator.console.visitor import meet

#: Whose paths begin so are programs: they are told in envelopes what went wrong.
_PROGRAMS: Final = (
    "/sampledb/",
    "/internal/",
    "/authentication/",
    "/health/",
    "/metrics",
    "/openapi.json",
    "/static",
)


def install(app: FastAPI) -> None:
    """Add the console to *app*, which has the API's services."""
    for module in (
        *(overview, find, login, stream, jobs, job, task, samples, sample),
        *(workers, failures, policy, webhooks, admin),
    ):
        app.include_router(module.router)
    app.mount(
        "/static", StaticFiles(packages=[("orchestrator.console", "static")]), "static"
    )
    app.add_exception_handler(HTTPException, _no_page)


async def _no_page(request: Request, error: Exception) -> Response:
    """Answer who asks for a page that there is not."""
    is_program = request.url.path.startswith(_PROGRAMS)
    if is_program or "text/html" not in request.headers.get("Accept", ""):
        return await errors.answer(request, error)
    await meet(request)
    return await failed(request, error)
