"""
What was found by a few characters.
"""

from __future__ import annotations

from orchestrator.api.http.envelope import Shape
from orchestrator.queries.find import Found, Kind


class FoundResponse(Shape):
    """``id``: of a sample its SHA-256, of a worker its short name."""

    kind: Kind
    id: str
    title: str

    @classmethod
    def of(cls, found: Found) -> FoundResponse:
        """Shape something."""
        return cls(kind=found.kind, id=found.id, title=found.title)
