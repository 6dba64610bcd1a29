"""
Analyses, as the API takes and gives them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from orchestrator.api.http.envelope import Form, Shape
from orchestrator.api.http.storable import StorableJSON
from orchestrator.api.http.times import Millis
from orchestrator.api.schemas.common import (
    AccessControl,
    AccessList,
    CustomerInfo,
    CustomerRef,
    Detection,
    DetectionForm,
    Override,
    SafeText,
    StrictBool,
    StrictInt,
    Tag,
    TagForm,
    Tlp,
    UserAgent,
    UserAgentForm,
    UserInfo,
    access_controls,
)
from orchestrator.api.schemas.job import AnalysisInfo
from orchestrator.catalog.analyses import Findings
from orchestrator.domain.values import JobState
from orchestrator.domain.verdict import StatusOverride
from orchestrator.queries.analyses import AnalysisSummary, AnalysisView
from orchestrator.queries.evidence import EvidenceView

#: Labels, and detections, of one analysis: as many as a worker may report.
_ITEMS_MAX = 10_000

#: The largest count that the database's column takes.
_COUNT_MAX = 2**31 - 1


class JobInfo(Shape):
    """A job, as an analysis names it."""

    id: UUID
    state: JobState


class AnalysisAddRequest(Form):
    """One worker's, or person's, result."""

    customer: CustomerRef
    user_agent: UserAgentForm
    tlp: Tlp
    analysis_result: StorableJSON
    analysis_score: Annotated[StrictInt, Field(ge=-1, le=100)]
    acl: AccessList = ()
    profile: SafeText | None = None
    executed_with_internet_access: StrictBool = False
    possible_detections: Annotated[StrictInt, Field(ge=0, le=_COUNT_MAX)] | None = None
    triggered_detections: Annotated[
        tuple[DetectionForm, ...], Field(max_length=_ITEMS_MAX)
    ] = ()
    tags: Annotated[tuple[TagForm, ...], Field(max_length=_ITEMS_MAX)] = ()
    verdict_status_override: Override | None = None

    def findings(
        self, sha256: str, *, customer_id: UUID, acl: Sequence[UUID]
    ) -> Findings:
        """Return what it says, as the steps take it."""
        override = self.verdict_status_override
        return Findings(
            sample_sha256=sha256,
            customer_id=customer_id,
            acl=tuple(acl),
            agent_name=self.user_agent.name,
            agent_version=self.user_agent.version,
            score=self.analysis_score,
            result=self.analysis_result,
            tags=tuple(tag.model_dump() for tag in self.tags),
            detections=tuple(
                detection.model_dump() for detection in self.triggered_detections
            ),
            possible_detections=self.possible_detections,
            status_override=StatusOverride(override) if override else None,
            profile=self.profile,
            internet_access=self.executed_with_internet_access,
            tlp=self.tlp,
        )


class StoredFile(Shape):
    """Bytes that came with an analysis: a child, evidence or a large result."""

    kind: str
    sha256: str
    size: int
    file_name: str | None = None
    mime_type: str | None = None


class AnalysisResult(Shape):
    """
    An analysis; ``resultSha256``: a result too large to show, in the store.
    """

    analysis_id: UUID = Field(alias="analysisID")
    sample_sha256: str
    customer: CustomerInfo
    created_by_user: UserInfo | None
    created_timestamp: Millis
    job: JobInfo | None
    user_agent: UserAgent
    analysis_score: int
    analysis_result: Any
    tlp: str
    acl: tuple[AccessControl, ...]
    profile: str | None
    possible_detections: int | None
    triggered_detections: tuple[Detection, ...]
    tags: tuple[Tag, ...]
    verdict_status_override: str | None
    flags: tuple[str, ...]
    result_sha256: str | None
    files: tuple[StoredFile, ...]

    @classmethod
    def of(cls, view: AnalysisView) -> AnalysisResult:
        """Shape an analysis."""
        return cls(
            analysis_id=view.id,
            sample_sha256=view.sample_sha256,
            customer=CustomerInfo.of(view.customer),
            created_by_user=UserInfo.of(view.created_by),
            created_timestamp=view.created_at,
            job=JobInfo(id=view.job.id, state=view.job.state) if view.job else None,
            user_agent=UserAgent(name=view.agent_name, version=view.agent_version),
            analysis_score=view.score,
            analysis_result=view.result,
            tlp=view.tlp,
            acl=access_controls(view.acl, view.created_by, view.created_at),
            profile=view.profile,
            possible_detections=view.possible_detections,
            triggered_detections=tuple(
                Detection.model_validate(detection) for detection in view.detections
            ),
            tags=tuple(Tag.model_validate(tag) for tag in view.tags),
            verdict_status_override=view.status_override,
            flags=tuple(_flags(view)),
            result_sha256=view.result_ref,
            files=tuple(StoredFile.model_validate(file) for file in view.files),
        )


class AnalysisSummaryResponse(Shape):
    """Who analysed a sample, and the newest analysis."""

    analysers: tuple[UserAgent, ...]
    latest_analysis: AnalysisInfo | None

    @classmethod
    def of(cls, summary: AnalysisSummary) -> AnalysisSummaryResponse:
        """Shape a summary."""
        newest = summary.newest
        return cls(
            analysers=tuple(
                UserAgent(name=name, version=version)
                for name, version in summary.agents
            ),
            latest_analysis=_info(newest) if newest else None,
        )


class EvidenceResponse(Shape):
    """A file of an analysis; ``checksum``: SHA-256 of its bytes."""

    id: UUID
    file_name: str
    mime_type: str
    size: int
    checksum: str
    created_by_user: UserInfo | None
    created_timestamp: Millis
    flags: tuple[str, ...]

    @classmethod
    def of(cls, view: EvidenceView) -> EvidenceResponse:
        """Shape a file."""
        flags = {
            "internal": view.is_internal,
            "potentiallyMalicious": view.is_potentially_malicious,
        }
        return cls(
            id=view.id,
            file_name=view.file_name,
            mime_type=view.mime_type,
            size=view.size_bytes,
            checksum=view.sha256,
            created_by_user=UserInfo.of(view.created_by),
            created_timestamp=view.created_at,
            flags=tuple(name for name, is_set in flags.items() if is_set),
        )


def _info(view: AnalysisView) -> AnalysisInfo:
    agent = UserAgent(name=view.agent_name, version=view.agent_version)
    return AnalysisInfo(id=view.id, analysis_score=view.score, user_agent=agent)


def _flags(view: AnalysisView) -> list[str]:
    flags = {
        "executedWithInternetAccess": view.internet_access,
        "hasEvidence": view.has_evidence,
    }
    return [name for name, is_set in flags.items() if is_set]
