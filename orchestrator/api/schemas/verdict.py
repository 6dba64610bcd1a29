"""
Verdicts, as the API takes and gives them.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field

from orchestrator.api.http.envelope import Form, Shape
from orchestrator.api.http.times import Millis
from orchestrator.api.schemas.analysis import JobInfo
from orchestrator.api.schemas.common import (
    Detection,
    Override,
    SafeText,
    Tag,
    UserAgent,
    UserInfo,
)
from orchestrator.domain.verdict import Source, VerdictStatus, Why
from orchestrator.queries.verdicts import ContributionView, VerdictView


class VerdictAddRequest(Form):
    """A verdict by hand."""

    comment: Annotated[SafeText, Field(min_length=1)]
    status_override: Override


class VerdictTag(Tag):
    """A label, and in how many of the analyses it was found."""

    count: int


class VerdictAnalysisInfo(Shape):
    """An analysis that counts; the last two are null where it found nothing."""

    id: UUID
    user_agent: UserAgent
    analysis_score: int | None
    possible_detections: int | None
    triggered_detections: tuple[Detection, ...]
    tags: tuple[Tag, ...]
    impact: int | None
    difference: int | None

    @classmethod
    def of(cls, view: ContributionView, analysis_id: UUID) -> VerdictAnalysisInfo:
        """Shape the analysis behind a contribution."""
        return cls(
            id=analysis_id,
            user_agent=UserAgent(
                name=view.agent_name or view.worker, version=view.worker_version or ""
            ),
            analysis_score=view.score,
            possible_detections=view.possible_detections,
            triggered_detections=tuple(map(Detection.model_validate, view.detections)),
            tags=tuple(map(Tag.model_validate, view.tags)),
            impact=None if view.impact is None else round(view.impact),
            difference=None if view.difference is None else round(view.difference),
        )


class Contribution(Shape):
    """One worker's part of a verdict, those that are missing too."""

    worker: str
    source: Source
    why: Why | None
    score: int | None
    weight: float
    impact: float | None
    difference: float | None
    analysis_id: UUID | None = Field(alias="analysisID")
    age_seconds: float | None
    worker_version: str | None

    @classmethod
    def of(cls, view: ContributionView) -> Contribution:
        """Shape a contribution."""
        return cls(
            worker=view.worker,
            source=view.source,
            why=view.why,
            score=view.score,
            weight=view.weight,
            impact=view.impact,
            difference=view.difference,
            analysis_id=view.analysis_id,
            age_seconds=view.age_seconds,
            worker_version=view.worker_version,
        )


class VerdictResponse(Shape):
    """What the workers, or somebody by hand, say of a sample."""

    sample_sha256: str
    score: int
    status: VerdictStatus
    status_override: str | None
    comment: str | None
    flags: tuple[str, ...]
    job: JobInfo | None
    created_timestamp: Millis
    created_by_user: UserInfo | None
    analysis: tuple[VerdictAnalysisInfo, ...]
    tags: tuple[VerdictTag, ...]
    coverage: float | None
    contributions: tuple[Contribution, ...]

    @classmethod
    def of(cls, view: VerdictView) -> VerdictResponse:
        """Shape a verdict."""
        return cls(
            sample_sha256=view.sample_sha256,
            score=view.score,
            status=view.status,
            status_override=view.status_override,
            comment=view.comment,
            flags=tuple(_flags(view)),
            job=_job(view),
            created_timestamp=view.created_at,
            created_by_user=UserInfo.of(view.created_by),
            analysis=tuple(
                VerdictAnalysisInfo.of(part, part.analysis_id)
                for part in view.contributions
                if part.analysis_id is not None
            ),
            tags=tuple(map(VerdictTag.model_validate, view.tags)),
            coverage=view.coverage_percent,
            contributions=tuple(map(Contribution.of, view.contributions)),
        )


def _job(view: VerdictView) -> JobInfo | None:
    if view.job_id is None or view.job_state is None:
        return None
    return JobInfo(id=view.job_id, state=view.job_state)


def _flags(view: VerdictView) -> list[str]:
    flags = {
        "manual": view.is_manual,
        "contradictingStatusOverrides": view.is_contradicting,
    }
    return [name for name, is_set in flags.items() if is_set]
