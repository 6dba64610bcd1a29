"""
The audit trail, as the API gives it.
"""

from __future__ import annotations

from pydantic import Field, JsonValue

from orchestrator.api.http.envelope import Shape
from orchestrator.api.http.times import Millis
from orchestrator.queries.audit import AuditView


class AuditResponse(Shape):
    """Who changed what by hand; ``detail`` depends on the action."""

    id: int
    timestamp: Millis
    actor: str
    source: str | None
    action: str
    changed: str = Field(alias="object")
    detail: dict[str, JsonValue]

    @classmethod
    def of(cls, view: AuditView) -> AuditResponse:
        """Shape a row."""
        return cls(
            id=view.id,
            timestamp=view.created_at,
            actor=view.actor,
            source=view.source,
            action=view.action,
            changed=view.changed,
            detail=dict(view.detail),
        )
