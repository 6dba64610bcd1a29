"""
Submissions and challenges, as the API takes and gives them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StrictStr, StringConstraints

from orchestrator.api.http.envelope import Form, Shape
from orchestrator.api.http.storable import StorableText
from orchestrator.api.http.times import Millis, parse_time
from orchestrator.api.schemas.common import (
    NAME_MAX,
    AccessControl,
    AccessList,
    CustomerInfo,
    CustomerRef,
    MetaData,
    StrictInt,
    UserAgent,
    UserAgentForm,
    access_controls,
)
from orchestrator.catalog.challenges import Challenge, Token
from orchestrator.catalog.submissions import NewSubmission
from orchestrator.contracts.wire import OPAQUE_MIME_TYPE
from orchestrator.domain.errors import InvalidError
from orchestrator.domain.policy import Tlp
from orchestrator.queries.submissions import SubmissionView

_FILE_NAME_MAX = 1024

Time = StrictInt | StrictStr


class TokenForm(Form):
    """A challenge and its answer."""

    id: UUID
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class SubmissionAddRequest(Form):
    """Somebody saw the sample, and proves to have it."""

    challenge_token: TokenForm
    file_name: Annotated[StorableText, Field(min_length=1, max_length=_FILE_NAME_MAX)]
    user_agent: UserAgentForm
    customer: CustomerRef | None = None
    observed_timestamp: Time | None = None
    mime_type: Annotated[StorableText, Field(min_length=1, max_length=NAME_MAX)] = (
        OPAQUE_MIME_TYPE
    )
    meta_data: MetaData = Field(default_factory=dict)
    tlp: Literal["amber", "green", "clear"] = "amber"
    acl: AccessList = ()
    retention: Time | None = None

    def new(
        self, sha256: str, *, customer_id: UUID, user_id: UUID, acl: Sequence[UUID]
    ) -> NewSubmission:
        """Return what it says, its times apart, as the steps take it."""
        return NewSubmission(
            sample_sha256=sha256,
            customer_id=customer_id,
            user_id=user_id,
            file_name=self.file_name,
            mime_type=self.mime_type,
            agent_name=self.user_agent.name,
            agent_version=self.user_agent.version,
            tlp=Tlp(self.tlp),
            metadata=self.meta_data,
            acl=tuple(acl),
        )

    def observed_at(self, now: datetime) -> datetime:
        """
        Return when it was seen.

        Raises:
            InvalidError: It is no time.
        """
        if self.observed_timestamp is None:
            return now
        return parse_time(self.observed_timestamp, now=now, field="observedTimestamp")

    def expires_at(self, now: datetime) -> datetime | None:
        """
        Return until when it is to be kept.

        Raises:
            InvalidError: It is no time, or over.
        """
        if self.retention is None:
            return None
        until = parse_time(self.retention, now=now, field="retention")
        if until <= now:
            raise InvalidError(
                f"'{str(self.retention)[:NAME_MAX]}' is over; name a time to come,"
                " as now + 1 week",
                field="retention",
            )
        return until


class ChallengeResponse(Shape):
    """Hash ``length`` bytes from ``offset`` on, SHA-256 in lowercase hex."""

    id: UUID
    offset: int
    length: int

    @classmethod
    def of(cls, challenge: Challenge) -> ChallengeResponse:
        """Shape a challenge."""
        return cls(id=challenge.id, offset=challenge.offset, length=challenge.length)


class ChallengeToken(Shape):
    """A solved challenge, for one submission."""

    id: UUID
    sha256: str

    @classmethod
    def of(cls, token: Token) -> ChallengeToken:
        """Shape a token."""
        return cls(id=token.id, sha256=token.sha256)


class SubmissionResponse(Shape):
    """
    A submission; ``job``: what it led to.

    One that is similar to a recent one is answered 220 with ``sampleSha256`` alone.
    """

    id: UUID | None = None
    sample_sha256: str
    customer: CustomerInfo | None = None
    file_name: str | None = None
    mime_type: str | None = None
    meta_data: dict[str, str] | None = None
    tlp: str | None = None
    acl: tuple[AccessControl, ...] | None = None
    user_agent: UserAgent | None = None
    job: UUID | None = None
    observed_timestamp: Millis | None = None
    submitted_timestamp: Millis | None = None
    expiry_timestamp: Millis | None = None
    flags: tuple[str, ...] = ()

    @classmethod
    def of(cls, view: SubmissionView) -> SubmissionResponse:
        """Shape a submission."""
        return cls(
            id=view.id,
            sample_sha256=view.sample_sha256,
            customer=CustomerInfo.of(view.customer),
            file_name=view.file_name,
            mime_type=view.mime_type,
            meta_data=dict(view.metadata),
            tlp=view.tlp,
            acl=access_controls(view.acl, view.created_by, view.created_at),
            user_agent=UserAgent(name=view.agent_name, version=view.agent_version),
            job=view.job_id,
            observed_timestamp=view.observed_at,
            submitted_timestamp=view.created_at,
            expiry_timestamp=view.expires_at,
        )
