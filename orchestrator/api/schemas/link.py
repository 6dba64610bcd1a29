"""
Links, as the API takes and gives them.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from orchestrator.api.http.envelope import Form, Shape
from orchestrator.api.http.times import Millis
from orchestrator.api.schemas.common import (
    AccessControl,
    AccessList,
    CustomerInfo,
    CustomerRef,
    Sha256,
    Tlp,
    UserAgent,
    UserAgentForm,
    UserInfo,
    access_controls,
)
from orchestrator.api.schemas.sample import SampleMetaData
from orchestrator.catalog.links import LinkType, NewLink
from orchestrator.queries.links import LinkSummary, LinkView


class LinkAddRequest(Form):
    """The sample has to do with the one of the hash ``reference``."""

    reference: Sha256
    type: LinkType
    tlp: Tlp
    user_agent: UserAgentForm
    customer: CustomerRef | None = None
    acl: AccessList = ()

    def new(self, sha256: str, *, customer_id: UUID, acl: Sequence[UUID]) -> NewLink:
        """Return what it says, as the steps take it."""
        return NewLink(
            sample_sha256=sha256,
            reference_sha256=self.reference,
            type=self.type,
            customer_id=customer_id,
            agent_name=self.user_agent.name,
            agent_version=self.user_agent.version,
            tlp=self.tlp,
            acl=tuple(acl),
        )


class LinkResponse(Shape):
    """A link; flag ``deadReference``: the other sample is not here."""

    id: UUID
    sample_sha256: str
    reference: str
    referenced_sample: SampleMetaData | None
    type: str
    customer: CustomerInfo
    tlp: str
    acl: tuple[AccessControl, ...]
    user_agent: UserAgent
    created_by_user: UserInfo | None
    created_timestamp: Millis
    flags: tuple[str, ...]

    @classmethod
    def of(cls, view: LinkView) -> LinkResponse:
        """Shape a link."""
        other = view.referenced
        return cls(
            id=view.id,
            sample_sha256=view.sample_sha256,
            reference=view.reference_sha256,
            referenced_sample=SampleMetaData.of(other) if other else None,
            type=view.type,
            customer=CustomerInfo.of(view.customer),
            tlp=view.tlp,
            acl=access_controls(view.acl, view.created_by, view.created_at),
            user_agent=UserAgent(name=view.agent_name, version=view.agent_version),
            created_by_user=UserInfo.of(view.created_by),
            created_timestamp=view.created_at,
            flags=("deadReference",) if view.is_dead else (),
        )


class LinkTypeCount(Shape):
    """How many links are of a type."""

    type: str
    count: int


class LinkSummaryResponse(Shape):
    """Links by type; flag ``incompleteTypeCount``: there are more than were counted."""

    link_type_summary: tuple[LinkTypeCount, ...]
    flags: tuple[str, ...]

    @classmethod
    def of(cls, summary: LinkSummary) -> LinkSummaryResponse:
        """Shape a summary."""
        counts = tuple(
            LinkTypeCount(type=name, count=number)
            for name, number in summary.counts.items()
        )
        flags = () if summary.is_whole else ("incompleteTypeCount",)
        return cls(link_type_summary=counts, flags=flags)
