"""
The message in which a replica reports what became of one attempt.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, JsonValue, StringConstraints, model_validator

from orchestrator.contracts.wire import (
    MESSAGE_VERSION,
    OPAQUE_MIME_TYPE,
    Sha256,
    ShortName,
    Wire,
)

ReportKind = Literal["executing", "success", "failed", "timed_out", "released"]
FailureReason = Literal[
    "error",
    "bad_result",
    "crashed",
    "out_of_memory",
    "unsupported",
    "sample_missing",
]
ReplicaId = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class Tag(Wire):
    """A label of a finding: a malware family, a behaviour, or a YARA rule."""

    type: Literal["family", "behaviour", "yara"]
    value: str = Field(min_length=1, max_length=512)


class Detection(Wire):
    """A named detection that triggered, and what the worker thinks of it."""

    name: str = Field(min_length=1, max_length=512)
    assessment: Literal["benign", "unknown", "malicious", "informational"]


class Reference(Wire):
    """Bytes that the replica has put into the store: a child, evidence or a result."""

    kind: Literal["child", "evidence", "result"]
    sha256: Sha256
    size: int = Field(ge=0)
    file_name: str | None = None
    mime_type: str = OPAQUE_MIME_TYPE


class ReportedAnalysis(Wire):
    """
    One worker's result.

    ``score``: -1 (no findings, counts for nothing) or 0 (benign) to 100 (malicious).
    ``result``: any JSON, checked against the worker's schema in the replica; ``None``
    with a reference of kind ``result`` when it was too large for a message.
    """

    score: int = Field(ge=-1, le=100)
    result: JsonValue = None
    tags: tuple[Tag, ...] = ()
    detections: tuple[Detection, ...] = ()
    possible_detections: int | None = Field(default=None, ge=0)
    override: Literal["malicious", "benign"] | None = None
    profile: str | None = None
    internet_access: bool = False
    references: tuple[Reference, ...] = ()


class Report(Wire):
    """
    One state change of one attempt.

    ``token`` proves that the sender was given this attempt. ``started_at`` and
    ``ended_at`` are the replica's own clock: shown, clipped, never trusted.
    """

    version: Literal[1] = MESSAGE_VERSION
    type: Literal["report"] = "report"
    report_id: UUID
    kind: ReportKind
    task_id: UUID
    attempt: int = Field(ge=1)
    token: str = Field(min_length=1, max_length=256)
    worker: ShortName
    worker_version: str = Field(default="", max_length=128)
    replica: ReplicaId
    started_at: datetime | None = None
    ended_at: datetime | None = None
    message: str | None = Field(default=None, max_length=65536)
    reason: FailureReason | None = None
    recoverable: bool = False
    analysis: ReportedAnalysis | None = None

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if (self.reason is not None) != (self.kind == "failed"):
            msg = "reason: belongs to kind 'failed', and 'failed' needs one"
            raise ValueError(msg)
        if self.analysis is not None and self.kind != "success":
            msg = "analysis: belongs to kind 'success'"
            raise ValueError(msg)
        return self
