"""
Samples, as the API gives them.
"""

from __future__ import annotations

from orchestrator.api.http.envelope import Shape
from orchestrator.api.http.times import Millis
from orchestrator.api.schemas.classification import ClassificationResponse
from orchestrator.api.schemas.job import SampleInfo
from orchestrator.api.schemas.submission import ChallengeToken
from orchestrator.api.schemas.verdict import VerdictResponse
from orchestrator.catalog.samples import StoredSample
from orchestrator.queries.samples import SampleView


class SampleCompleteUploadResponse(Shape):
    """A sample that is here now; ``exists``: it was before. The token is solved."""

    sample: SampleInfo
    exists: bool
    challenge: ChallengeToken

    @classmethod
    def of(cls, stored: StoredSample) -> SampleCompleteUploadResponse:
        """Shape what an upload came to."""
        return cls(
            sample=SampleInfo(id=stored.sha256, size=stored.size_bytes),
            exists=not stored.is_new,
            challenge=ChallengeToken.of(stored.token),
        )


class SampleMetaData(Shape):
    """A sample with its newest classification and its current verdict."""

    sha256: str
    sha512: str
    sha1: str
    md5: str
    size: int
    created_timestamp: Millis
    deleted_timestamp: Millis | None = None
    first_submitted_timestamp: Millis | None
    last_submitted_timestamp: Millis | None
    first_observed_timestamp: Millis | None
    last_observed_timestamp: Millis | None
    latest_classification: ClassificationResponse | None
    latest_verdict: VerdictResponse | None
    flags: tuple[str, ...] = ()

    @classmethod
    def of(cls, view: SampleView) -> SampleMetaData:
        """Shape a sample."""
        found, verdict, seen = view.classification, view.verdict, view.seen
        return cls(
            sha256=view.sha256,
            sha512=view.sha512,
            sha1=view.sha1,
            md5=view.md5,
            size=view.size_bytes,
            created_timestamp=view.created_at,
            first_submitted_timestamp=seen.first_submitted_at if seen else None,
            last_submitted_timestamp=seen.last_submitted_at if seen else None,
            first_observed_timestamp=seen.first_observed_at if seen else None,
            last_observed_timestamp=seen.last_observed_at if seen else None,
            latest_classification=ClassificationResponse.of(found) if found else None,
            latest_verdict=VerdictResponse.of(verdict) if verdict else None,
        )
