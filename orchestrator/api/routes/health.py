"""
Whether the process is alive, and whether the system is able to do its work.
"""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from orchestrator.api.deps import Services, ServicesDep
from orchestrator.api.http.envelope import Envelope, Shape, single
from orchestrator.queries.health import Missing, find_missing

router = APIRouter(prefix="/health", tags=["health"])

_DATABASE_AWAY = Missing(
    what="database",
    detail="the database does not answer",
    remedy="see that PostgreSQL runs where ASSAY_DATABASE_URL points",
)


class Live(Shape):
    """The process answers."""

    alive: bool = True


class MissingPart(Shape):
    """One thing that keeps jobs from moving, and what to do about it."""

    what: str
    detail: str
    remedy: str


class Ready(Shape):
    """Whether jobs move."""

    ready: bool
    missing: tuple[MissingPart, ...]


@router.get("/live")
async def live() -> Envelope[Live]:
    """Say that the process answers; it asks nobody else."""
    return single(Live())


@router.get("/ready", responses={503: {"model": Envelope[Ready]}})
def ready(response: Response, services: ServicesDep) -> Envelope[Ready]:
    """Say whether jobs move, and if not, what is missing: 503."""
    missing = _missing(services)
    status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK
    response.status_code = status
    parts = tuple(
        MissingPart(what=part.what, detail=part.detail, remedy=part.remedy)
        for part in missing
    )
    return Envelope(response_code=status, data=Ready(ready=not missing, missing=parts))


def _missing(services: Services) -> tuple[Missing, ...]:
    try:
        return find_missing(services.database, lease=services.engine.limits.lease)
    except (DBAPIError, PoolTimeoutError):
        return (_DATABASE_AWAY,)
