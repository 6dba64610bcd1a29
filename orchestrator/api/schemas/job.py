"""
Jobs and their tasks, as the API takes and gives them.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Literal, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, StrictStr

from orchestrator.api.http.envelope import Form, Shape
from orchestrator.api.http.paging import LIMIT_DEFAULT, OFFSET_MAX, read_order
from orchestrator.api.http.storable import StorableJSON, StorableText
from orchestrator.api.http.times import Millis, parse_time, whole_millisecond
from orchestrator.api.schemas.classification import ClassificationResponse
from orchestrator.api.schemas.common import (
    NAMES_MAX,
    OPTIONS_MAX_BYTES,
    CustomerInfo,
    CustomerRef,
    MetaData,
    Sha256,
    StrictInt,
    UserAgent,
)
from orchestrator.domain.policy import Tlp
from orchestrator.domain.values import JobState, Reason, TaskState
from orchestrator.flow.order import JobOrder, Said
from orchestrator.queries.choices import ChoiceView
from orchestrator.queries.jobs import (
    TIME_FIELDS,
    JobFilter,
    JobView,
    TimeField,
)
from orchestrator.queries.lists import LIST_MAX, Paging, Period
from orchestrator.queries.tasks import AnalysisLink, EventView, TaskView
from orchestrator.queries.waiting import Because, Waiting


def _small(options: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if len(json.dumps(options)) > OPTIONS_MAX_BYTES:
        raise ValueError(f"must not be larger than {OPTIONS_MAX_BYTES} bytes as JSON")
    return options


def _as_list(value: object) -> object:
    # The contract's schema has lists; its text, and the signatures of its client, have
    # one word.
    return [value] if isinstance(value, str | int) else value


T = TypeVar("T")
Listed = Annotated[
    tuple[T, ...], Field(max_length=NAMES_MAX), BeforeValidator(_as_list)
]


class SampleInfo(Shape):
    """A sample, as a job names it."""

    id: str
    size: int


class JobVerdictInfo(Shape):
    """What a job's newest verdict says; the rest of it is the sample's."""

    status: str
    score: int


class JobResponse(Shape):
    """One analysis run of a sample; ``verdict``: null until one is rolled."""

    id: UUID
    state: JobState
    analysed_sample: SampleInfo
    customer: CustomerInfo
    enqueued_timestamp: Millis
    start_timestamp: Millis | None
    end_timestamp: Millis | None
    priority: int
    file_name: str | None
    open_tasks: int
    verdict: JobVerdictInfo | None

    @classmethod
    def of(cls, view: JobView) -> JobResponse:
        """Shape a job."""
        found = view.verdict
        return cls(
            id=view.id,
            state=view.state,
            analysed_sample=SampleInfo(id=view.sample_sha256, size=view.size_bytes),
            customer=CustomerInfo.of(view.customer),
            enqueued_timestamp=view.enqueued_at,
            start_timestamp=view.started_at,
            end_timestamp=view.ended_at,
            priority=view.priority,
            file_name=view.file_name,
            open_tasks=view.open_tasks,
            verdict=JobVerdictInfo(status=found.status, score=found.score)
            if found
            else None,
        )


class SaidForm(Form):
    """
    What the submitter says of the sample: kept as a submission, and for selection.

    ``customer``: for whom; their own if left out.
    """

    customer: CustomerRef | None = None
    tlp: Literal["amber", "green", "clear"] = "amber"
    meta_data: MetaData = Field(default_factory=dict)


class JobAddRequest(Form):
    """An order: analyse this sample. ``workers`` replaces the policy's choice."""

    sample_sha256: Sha256
    workers: Annotated[tuple[StorableText, ...], Field(max_length=NAMES_MAX)] | None = (
        None
    )
    priority: Annotated[StrictInt, Field(ge=-9, le=9)] = 0
    options: Annotated[
        dict[StorableText, StorableJSON],
        Field(max_length=NAMES_MAX),
        AfterValidator(_small),
    ] = Field(default_factory=dict)
    file_name: Annotated[StorableText, Field(max_length=1024)] | None = None
    idempotency_key: (
        Annotated[StorableText, Field(min_length=1, max_length=255)] | None
    ) = None
    submission: SaidForm | None = None

    def order(self, *, submitter_id: UUID, customer_id: UUID) -> JobOrder:
        """Return it as the steps take it, for this customer."""
        said = self.submission
        return JobOrder(
            sample_sha256=self.sample_sha256,
            submitter_id=submitter_id,
            customer_id=customer_id,
            priority=self.priority,
            workers=self.workers,
            options=self.options,
            file_name=self.file_name,
            idempotency_key=self.idempotency_key,
            said=None
            if said is None
            else Said(tlp=Tlp(said.tlp), metadata=said.meta_data),
        )


class JobCriteria(Form):
    """Which jobs: all must match; within a list, one."""

    customer: Listed[CustomerRef] = ()
    sample_sha256: Listed[Sha256] = ()
    state: Listed[JobState] = ()
    start_timestamp: StrictInt | StrictStr | None = None
    end_timestamp: StrictInt | StrictStr | None = None
    time_field_strategy: Listed[TimeField | Literal["all"]] = ("all",)
    time_match_strategy: Literal["any", "all"] = "any"

    def filter(self, now: datetime) -> JobFilter:
        """
        Return its criteria; relative times count from *now*.

        Raises:
            InvalidError: A time is not valid.
        """
        named = [name for name in self.time_field_strategy if name != "all"]
        every = len(named) < len(self.time_field_strategy) or not named
        end = _moment(self.end_timestamp, "endTimestamp", now)
        period = Period(
            start=_moment(self.start_timestamp, "startTimestamp", now),
            end=None if end is None else whole_millisecond(end),
        )
        return JobFilter(
            states=self.state,
            sample_sha256s=self.sample_sha256,
            customers=self.customer,
            period=period,
            times=TIME_FIELDS if every else tuple(named),
            match_all_times=self.time_match_strategy == "all",
        )


class JobSearchRequest(JobCriteria):
    """Which jobs, in which order, and which part of them."""

    sort_by: Listed[StorableText] = ()
    limit: Annotated[StrictInt, Field(ge=0, le=LIST_MAX)] = LIMIT_DEFAULT
    offset: Annotated[StrictInt, Field(ge=0, le=OFFSET_MAX)] = 0

    def paging(self) -> Paging:
        """Return the part of the list that it asks for."""
        return Paging(
            limit=self.limit, offset=self.offset, order=read_order(self.sort_by)
        )


def _moment(value: int | str | None, field: str, now: datetime) -> datetime | None:
    return None if value is None else parse_time(value, now=now, field=field)


class AnalysisInfo(Shape):
    """An analysis, as a task names it."""

    id: UUID
    analysis_score: int
    user_agent: UserAgent

    @classmethod
    def of(cls, view: AnalysisLink) -> AnalysisInfo:
        """Shape an analysis of a task."""
        return cls(
            id=view.id,
            analysis_score=view.score,
            user_agent=UserAgent(name=view.agent_name, version=view.agent_version),
        )


class TaskEvent(Shape):
    """Something out of the ordinary that happened to a task."""

    kind: str
    attempt: int
    reason: str | None
    actor: str | None
    message: str | None
    timestamp: Millis

    @classmethod
    def of(cls, view: EventView) -> TaskEvent:
        """Shape an event."""
        return cls(
            kind=view.kind,
            attempt=view.attempt,
            reason=view.reason,
            actor=view.actor,
            message=view.message,
            timestamp=view.created_at,
        )


class JobTaskResponse(Shape):
    """One worker's part of a job; ``events`` only where one task was asked for."""

    id: UUID
    job: UUID
    worker: str
    state: TaskState
    message: str | None
    analyses: tuple[AnalysisInfo, ...]
    enqueued_timestamp: Millis
    start_timestamp: Millis | None
    end_timestamp: Millis | None
    reason: Reason | None
    attempt: int
    options: dict[str, JsonValue]
    losses: int
    holder: str | None
    late: bool
    queued_timestamp: Millis
    published_timestamp: Millis | None
    events: tuple[TaskEvent, ...] | None

    @classmethod
    def of(cls, view: TaskView) -> JobTaskResponse:
        """Shape a task."""
        events = view.events
        return cls(
            id=view.id,
            job=view.job_id,
            worker=view.worker,
            state=view.state,
            message=view.message,
            analyses=tuple(AnalysisInfo.of(analysis) for analysis in view.analyses),
            enqueued_timestamp=view.enqueued_at,
            start_timestamp=view.started_at,
            end_timestamp=view.ended_at,
            reason=view.reason,
            attempt=view.attempt,
            options=dict(view.options),
            losses=view.losses,
            holder=view.holder,
            late=view.late,
            queued_timestamp=view.queued_at,
            published_timestamp=view.published_at,
            events=None if events is None else tuple(map(TaskEvent.of, events)),
        )


class JobTaskUpdateRequest(Form):
    """What a worker that speaks HTTP says of its task."""

    state: Literal["executing", "success", "failed", "cancelled"]
    analyses: Annotated[tuple[UUID, ...], Field(max_length=NAMES_MAX)] = ()
    message: Annotated[StorableText, Field(max_length=65_536)] | None = None


class Choice(Shape):
    """What became of one worker when the job was created, and why."""

    worker: str
    selected: bool
    reason: str
    detail: str

    @classmethod
    def of(cls, view: ChoiceView) -> Choice:
        """Shape a choice."""
        return cls(
            worker=view.worker,
            selected=view.selected,
            reason=view.reason,
            detail=view.detail,
        )


class WaitingTask(Shape):
    """
    What an open task waits for: ``because`` in a word, ``detail`` in a sentence.

    ``before``: how many of the submitter's own tasks for this worker come first, 1001
    for more; ``until_timestamp``: when it is tried again, or when its clock ends it.
    """

    task: UUID
    worker: str
    attempt: int
    because: Because
    detail: str
    before: int | None
    until_timestamp: Millis | None

    @classmethod
    def of(cls, view: Waiting) -> WaitingTask:
        """Shape an open task."""
        return cls(
            task=view.task_id,
            worker=view.worker,
            attempt=view.attempt,
            because=view.because,
            detail=view.detail,
            before=view.before,
            until_timestamp=view.until,
        )


class JobExplanation(Shape):
    """
    Every worker that was registered when the job was created, and what the sample was
    taken for.

    ``no_verdict``: why the job, which is over, has none; else null. ``waiting``: what
    its open tasks wait for.
    """

    classification: ClassificationResponse | None
    workers: tuple[Choice, ...]
    no_verdict: str | None
    waiting: tuple[WaitingTask, ...]
