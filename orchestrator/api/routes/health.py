"""
Whether the process is alive, and whether the system is able to do its work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http import HTTPStatus

import structlog
from fastapi import APIRouter, Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from orchestrator.api.deps import Services, ServicesDep
from orchestrator.api.http.envelope import Envelope, Shape, single
from orchestrator.api.http.errors import RETRY_AFTER, RETRY_AFTER_HEADER
from orchestrator.db.sql_errors import Hint, find_hint, told
from orchestrator.queries.health import Health, Missing, examine

log = structlog.get_logger()

router = APIRouter(prefix="/health", tags=["health"])

_AWAY = Hint(
    "the database does not answer",
    "see that PostgreSQL runs where ASSAY_DATABASE_URL points",
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


@router.get(
    "/ready",
    responses={503: {"model": Envelope[Ready], "headers": RETRY_AFTER_HEADER}},
)
def ready(response: Response, services: ServicesDep) -> Envelope[Ready]:
    """Say whether jobs move, and if not, what is missing: 503."""
    health = _health(services)
    is_ready = not health.missing
    status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
    response.status_code = status
    if not is_ready:
        response.headers.update(RETRY_AFTER)
    return Envelope(
        response_code=status,
        data=Ready(
            ready=is_ready,
            missing=_parts(health.missing),
            troubles=_parts((*health.troubles, *_classifier(services))),
        ),
    )


def _health(services: Services) -> Health:
    try:
        return examine(services.database, lease=services.engine.limits.lease)
    except (DBAPIError, PoolTimeoutError) as error:
        log.warning("database.unavailable", **told(error))
        detail, remedy = find_hint(error) or _AWAY
        return Health(missing=(Missing(what="database", detail=detail, remedy=remedy),))


def _classifier(services: Services) -> Iterator[Missing]:
    if services.classifier is not None and (trouble := services.classifier.trouble):
        yield Missing(what="classifier", detail=trouble.detail, remedy=trouble.remedy)


def _parts(missing: Iterable[Missing]) -> tuple[MissingPart, ...]:
    return tuple(
        MissingPart(what=part.what, detail=part.detail, remedy=part.remedy)
        for part in missing
    )
