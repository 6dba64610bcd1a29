"""
What the API says, as values: times aware and in UTC, names as Python has them.

A field that a newer API adds is left out; one that it takes away is an error where it
is read. How they are asked for is ``assay.py``'s.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

#: Job states that nothing leaves but a retry.
OVER = frozenset({"done", "timeout"})


def _moment(value: object) -> object:
    if isinstance(value, int):
        return datetime.fromtimestamp(value / 1000, UTC)
    return value


Moment = Annotated[datetime, BeforeValidator(_moment)]


class Model(BaseModel):
    """Base of what the API answers."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="ignore")


class UserAgent(Model):
    """The program that made something."""

    name: str
    version: str


class Tag(Model):
    """A label: a family, a behaviour or the name of a YARA rule."""

    type: str
    value: str


class VerdictTag(Tag):
    """``count``: in how many of the analyses that count it was found."""

    count: int


class Detection(Model):
    """Something that an analysis looked for and found."""

    name: str
    assessment: str


class Contribution(Model):
    """
    One worker's part of a verdict.

    ``source``: ``own``, ``previous``, ``missing`` or ``excluded``; ``why`` it is not an
    analysis of the job's own. ``impact``: percent of the weighted scores.
    """

    worker: str
    source: str
    why: str | None
    score: int | None
    weight: float
    impact: float | None
    difference: float | None
    analysis_id: UUID | None = Field(alias="analysisID")
    age_seconds: float | None
    worker_version: str | None


class Verdict(Model):
    """
    What the workers, or somebody by hand, say of a sample together.

    ``score``: -1 (nothing found), or 0 to 100. ``status``: the word for it.
    ``coverage``: percent of the tasks behind which an analysis stands.
    """

    sample_sha256: str
    score: int
    status: str
    status_override: str | None
    comment: str | None
    flags: tuple[str, ...]
    created_timestamp: Moment
    tags: tuple[VerdictTag, ...]
    coverage: float | None
    contributions: tuple[Contribution, ...]


class JobVerdict(Model):
    """What a job's newest verdict says, in two words."""

    status: str
    score: int


class AnalysisLink(Model):
    """An analysis of a task."""

    id: UUID
    analysis_score: int
    user_agent: UserAgent


class Task(Model):
    """One worker's part of a job."""

    id: UUID
    job: UUID
    worker: str
    state: str
    reason: str | None
    message: str | None
    attempt: int
    losses: int
    late: bool
    analyses: tuple[AnalysisLink, ...]
    options: dict[str, Any]
    enqueued_timestamp: Moment
    start_timestamp: Moment | None
    end_timestamp: Moment | None


class StoredFile(Model):
    """Bytes that came with an analysis: a child, evidence or a large result."""

    kind: str
    sha256: str
    size: int
    file_name: str | None = None
    mime_type: str | None = None


class Analysis(Model):
    """What one worker found in a sample."""

    analysis_id: UUID = Field(alias="analysisID")
    sample_sha256: str
    created_timestamp: Moment
    user_agent: UserAgent
    analysis_score: int
    analysis_result: Any
    tlp: str
    triggered_detections: tuple[Detection, ...]
    tags: tuple[Tag, ...]
    flags: tuple[str, ...]
    files: tuple[StoredFile, ...]


class Classification(Model):
    """What kind of file a sample is; ``meta_data``: who decided, and how sure."""

    type: str
    super_type: str
    arch: str
    platform: str
    mime_type: str
    meta_data: dict[str, Any]


class Sample(Model):
    """A sample, with what kind of file it is and its current verdict."""

    sha256: str
    sha512: str
    sha1: str
    md5: str
    size: int
    created_timestamp: Moment
    latest_classification: Classification | None
    latest_verdict: Verdict | None


class Found(Model):
    """Something that may be meant; ``kind``: job, sample, worker or replica."""

    kind: str
    id: str
    title: str


class SampleInfo(Model):
    """A sample, as a job names it."""

    id: str
    size: int


class CustomerInfo(Model):
    """A customer."""

    short_name: str
    name: str | None


class JobData(Model):
    """A job as it stood when it was asked for."""

    id: UUID
    state: str
    analysed_sample: SampleInfo
    customer: CustomerInfo
    enqueued_timestamp: Moment
    start_timestamp: Moment | None
    end_timestamp: Moment | None
    priority: int
    file_name: str | None
    open_tasks: int
    verdict: JobVerdict | None
