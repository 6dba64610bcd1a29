"""
Poison, as the API gives it.
"""

from __future__ import annotations

from orchestrator.api.http.envelope import Shape
from orchestrator.api.http.times import Millis
from orchestrator.queries.poison import PoisonView


class PoisonResponse(Shape):
    """A sample of which a version of a worker dies; ``inForce``: of its newest one."""

    sample_sha256: str
    worker: str
    version: str
    deaths: int
    first_timestamp: Millis
    last_timestamp: Millis
    poisoned_timestamp: Millis
    in_force: bool

    @classmethod
    def of(cls, view: PoisonView) -> PoisonResponse:
        """Shape a row."""
        return cls(
            sample_sha256=view.sample_sha256,
            worker=view.worker,
            version=view.version,
            deaths=view.deaths,
            first_timestamp=view.first_at,
            last_timestamp=view.last_at,
            poisoned_timestamp=view.poisoned_at,
            in_force=view.in_force,
        )


class PoisonCleared(Shape):
    """How many versions may look at the sample again."""

    cleared: int
