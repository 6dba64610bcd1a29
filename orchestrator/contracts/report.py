"""
The message in which a replica reports what became of one attempt.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import FailFast, Field, JsonValue, StringConstraints, model_validator

from orchestrator.contracts.wire import (
    INTEGER_MAX,
    LIST_MAX,
    MESSAGE_VERSION,
    OPAQUE_MIME_TYPE,
    Attempt,
    ByteCount,
    Line,
    Name,
    Sha256,
    ShortName,
    Token,
    Wire,
    Word,
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
ReplicaId = Annotated[Name, StringConstraints(max_length=255)]

#: Of free text about an attempt. U+0000 in it is replaced where it is stored: what an
#: analyzer said of a sample is not to be lost for one character.
MESSAGE_MAX_CHARACTERS = 65_536


class Tag(Wire):
    """A label of a finding: a malware family, a behaviour, or a YARA rule."""

    type: Literal["family", "behaviour", "yara"]
    value: Name


class Detection(Wire):
    """A named detection that triggered, and what the worker thinks of it."""

    name: Name
    assessment: Literal["benign", "unknown", "malicious", "informational"]


class Reference(Wire):
    """
    Bytes that the replica has put into the store: a child, evidence or a result.

    ``receipt``: what the API answered to the upload. Without it whoever knows a hash
    could have another's file shown as a finding of its own.
    """

    kind: Literal["child", "evidence", "result"]
    sha256: Sha256
    size: ByteCount
    receipt: Annotated[Word, StringConstraints(max_length=128)] = ""
    file_name: Line | None = None
    mime_type: Name = OPAQUE_MIME_TYPE


class ReportedAnalysis(Wire):
    """
    One worker's result.

    ``score``: -1 (no findings, counts for nothing) or 0 to 100 (malicious).
    ``result``: any JSON, checked against the worker's schema in the replica; ``None``
    with a reference of kind ``result`` when it was too large for a message.
    """

    score: int = Field(ge=-1, le=100)
    result: JsonValue = None
    tags: Annotated[tuple[Tag, ...], Field(max_length=LIST_MAX), FailFast()] = ()
    detections: Annotated[
        tuple[Detection, ...], Field(max_length=LIST_MAX), FailFast()
    ] = ()
    possible_detections: int | None = Field(default=None, ge=0, le=INTEGER_MAX)
    override: Literal["malicious", "benign"] | None = None
    profile: Line | None = None
    internet_access: bool = False
    references: Annotated[
        tuple[Reference, ...], Field(max_length=LIST_MAX), FailFast()
    ] = ()


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
    attempt: Attempt
    token: Token
    worker: ShortName
    worker_version: Word = ""
    replica: ReplicaId
    started_at: datetime | None = None
    ended_at: datetime | None = None
    message: str | None = Field(default=None, max_length=MESSAGE_MAX_CHARACTERS)
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
