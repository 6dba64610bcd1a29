"""
Whose key is this? The one call that clients use to check theirs.
"""

from __future__ import annotations

from fastapi import APIRouter

from orchestrator.api.deps import CallerDep, GuardedRoute, ServicesDep, needs
from orchestrator.api.http.envelope import Envelope, Shape, single
from orchestrator.domain.values import Role

router = APIRouter(
    route_class=GuardedRoute, prefix="/authentication/v1", tags=["session"]
)


class Session(Shape):
    """The user of a key; ``sample_max_bytes``: how large a sample may be here."""

    user_name: str
    role: Role
    key_prefix: str
    sample_max_bytes: int


@router.get("/session")
@needs(Role.VIEWER)
def get_session(caller: CallerDep, services: ServicesDep) -> Envelope[Session]:
    """Return whose key came."""
    return single(
        Session(
            user_name=caller.name,
            role=caller.role,
            key_prefix=caller.key_prefix,
            sample_max_bytes=services.engine.limits.sample_max_bytes,
        )
    )
