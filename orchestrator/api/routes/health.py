"""
Whether the process is alive, and whether the system is able to do its work.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from fastapi import APIRouter, Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from orchestrator.api.deps import Services, ServicesDep
from orchestrator.api.http.envelope import Envelope, Shape, single
from orchestrator.queries.health import Health, Missing, examine

router = APIRouter(prefix="/health", tags=["health"])

_DATABASE_AWAY = Health(
    missing=(
        Missing(
            what="database",
            detail="the database does not answer",
            remedy="see that PostgreSQL runs where ASSAY_DATABASE_URL points",
        ),
    )
)


class Live(Shape):
    """The process answers."""

    alive: bool = True


class MissingPart(Shape):
    """One thing that keeps jobs or a worker's tasks from moving, and what to do."""

    what: str
    detail: str
    remedy: str


class Ready(Shape):
    """Whether jobs move; ``troubles`` keep one worker's tasks, or what is shown."""

    ready: bool
    missing: tuple[MissingPart, ...]
    troubles: tuple[MissingPart, ...] = ()


@router.get("/live")
async def live() -> Envelope[Live]:
    """Say that the process answers; it asks nobody else."""
    return single(Live())


@router.get("/ready", responses={503: {"model": Envelope[Ready]}})
def ready(response: Response, services: ServicesDep) -> Envelope[Ready]:
    """Say whether jobs move, and if not, what is missing: 503."""
    health = _health(services)
    is_ready = not health.missing
    status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
    response.status_code = status
    return Envelope(
        response_code=status,
        data=Ready(
            ready=is_ready,
            missing=_parts(health.missing),
            troubles=_parts(health.troubles),
        ),
    )


def _health(services: Services) -> Health:
    try:
        return examine(services.database, lease=services.engine.limits.lease)
    except (DBAPIError, PoolTimeoutError):
        return _DATABASE_AWAY


def _parts(missing: Iterable[Missing]) -> tuple[MissingPart, ...]:
    return tuple(
        MissingPart(what=part.what, detail=part.detail, remedy=part.remedy)
        for part in missing
    )
