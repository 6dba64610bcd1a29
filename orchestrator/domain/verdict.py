"""
The verdict: what the workers' analyses say of a sample together, and how each counted.

Owns the arithmetic and what is kept to repeat it. It does not decide which analysis is
the previous one of a worker, nor which verdict of a sample is the current one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from orchestrator.domain.values import TaskState

#: The score of an analysis, or of a verdict, that has found nothing either way.
NO_FINDINGS = -1
SCORE_MAX = 100


class StatusOverride(StrEnum):
    """What a worker or a person who is entirely certain says."""

    MALICIOUS = "malicious"
    BENIGN = "benign"


class VerdictStatus(StrEnum):
    """The verdict for people."""

    MALICIOUS = "malicious"
    SUSPICIOUS = "suspicious"
    #: Traits worth knowing, too weak to suspect anything.
    INFORMATIONAL = "informational"
    #: Somebody looked and found nothing, which nobody certifies.
    NO_FINDINGS = "no_findings"
    #: By an override alone: no score says that a sample does no harm.
    BENIGN = "benign"
    #: Overrides contradict each other, or no analysis counted.
    UNKNOWN = "unknown"


class Source(StrEnum):
    """Where a worker's part of the verdict comes from."""

    #: The analysis of the job's own task.
    OWN = "own"
    #: An earlier analysis of the same worker on the same sample.
    PREVIOUS = "previous"
    #: There is none: coverage drops.
    MISSING = "missing"
    #: The task was cancelled: it counts neither for nor against anything.
    EXCLUDED = "excluded"


class Why(StrEnum):
    """Why a worker's part is not an analysis of this job's own."""

    FAILED = "failed"
    TIMEOUT = "timeout"
    #: The job was for chosen workers, and this one of the policy is not among them.
    NOT_RUN = "not_run"
    #: The task has not ended, so nothing can stand in for it.
    UNFINISHED = "unfinished"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tag:
    """A label: a family, a behaviour or the name of a YARA rule."""

    type: str
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TagCount:
    """In how many of the analyses that count a tag was found."""

    tag: Tag
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """
    One analysis. ``score``: -1 (no findings), or 0 to 100 (malicious).

    Raises:
        ValueError: The score is out of range.
    """

    analysis_id: UUID
    score: int
    worker_version: str
    created_at: datetime
    override: StatusOverride | None = None
    tags: frozenset[Tag] = frozenset()

    def __post_init__(self) -> None:
        if not NO_FINDINGS <= self.score <= SCORE_MAX:
            raise ValueError(f"score: {self.score} is not from -1 to 100")


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerResult:
    """
    What there is of one worker.

    ``task_state`` is ``None`` for a worker of the policy that has no task in a job for
    chosen workers. ``own`` holds the task's analyses, late ones too.

    Raises:
        ValueError: The weight is not above 0 and at most 1.
    """

    worker_id: UUID
    short_name: str
    weight: float
    task_state: TaskState | None
    own: tuple[Finding, ...] = ()
    previous: Finding | None = None

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1:
            raise ValueError(f"weight: {self.weight} is not above 0 and at most 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bands:
    """
    The lowest scores that people read as malicious and as suspicious.

    Raises:
        ValueError: They are not in order, or out of the range of scores.
    """

    malicious: int = 70
    suspicious: int = 30

    def __post_init__(self) -> None:
        if not 0 <= self.suspicious <= self.malicious <= SCORE_MAX:
            raise ValueError(
                f"suspicious: {self.suspicious} and malicious: {self.malicious} are"
                " not 0 <= suspicious <= malicious <= 100"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Contribution:
    """
    One worker's part of a verdict: stored with it, shown with it, enough to repeat it.

    ``score`` is ``None`` where nothing counts. ``analysis_id`` is ``None`` there too,
    and for a success without an analysis, which counts as a score of -1.
    ``impact`` (0 to 100: its share in the weighted scores) and ``difference`` (-100 to
    100: its distance from the verdict's score) are ``None`` unless there are findings.
    ``age_seconds``: how old the analysis was when the verdict was rolled.
    """

    worker_id: UUID
    short_name: str
    source: Source
    why: Why | None
    weight: float
    analysis_id: UUID | None = None
    score: int | None = None
    override: StatusOverride | None = None
    tags: frozenset[Tag] = frozenset()
    worker_version: str | None = None
    age_seconds: int | None = None
    impact: float | None = None
    difference: int | None = None

    @property
    def counts(self) -> bool:
        """Whether an analysis, own or previous, stands behind it."""
        return self.source in {Source.OWN, Source.PREVIOUS}

    @property
    def is_task(self) -> bool:
        """Whether coverage asks for it: a task of this job that was not cancelled."""
        return self.source is not Source.EXCLUDED and self.why is not Why.NOT_RUN

    @property
    def weighted_score(self) -> float | None:
        """Weight times score, or ``None`` without findings."""
        if self.score is None or self.score == NO_FINDINGS:
            return None
        return self.weight * self.score


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """
    What a job says of its sample.

    ``contradicting``: analyses that count override the status both ways.
    ``coverage_percent`` is rounded down, so that 100 always means every task.
    ``contributions`` are ordered by short name, ``tags`` by count, the highest first.
    """

    score: int
    status: VerdictStatus
    status_override: StatusOverride | None
    contradicting: bool
    coverage_percent: int
    tags: tuple[TagCount, ...]
    contributions: tuple[Contribution, ...]


def roll(
    results: Iterable[WorkerResult],
    *,
    manual_override: StatusOverride | None,
    bands: Bands,
    now: datetime,
) -> Verdict | None:
    """
    Roll the verdict of a job.

    Args:
        results: One per task of the job, and one per other worker of the policy when
            the job is for chosen workers; in any order.
        manual_override: The status of the sample's newest manual verdict. It stands.
        bands: From which score on people read what.
        now: Aware UTC, for the age of the analyses and nothing else.

    Returns:
        ``None`` if nothing counts: such a job rolls no verdict.

    Source: design.md §6.
    """
    contributions = (_contribution(result, now) for result in results)
    return recompute(contributions, manual_override=manual_override, bands=bands)


def recompute(
    contributions: Iterable[Contribution],
    *,
    manual_override: StatusOverride | None,
    bands: Bands,
) -> Verdict | None:
    """
    Repeat a verdict from its contributions alone, as :func:`roll` made it.

    Their ``impact`` and ``difference`` are made anew and never read, so a stored
    verdict is sound exactly when it equals what this returns.
    """
    ordered = sorted(
        contributions,
        key=lambda contribution: (contribution.short_name, contribution.worker_id),
    )
    counting = [contribution for contribution in ordered if contribution.counts]
    if not counting:
        return None
    score = _score(counting)
    overrides = {
        contribution.override
        for contribution in counting
        if contribution.override is not None
    }
    override = _decisive(overrides, manual_override)
    contradicting = len(overrides) > 1
    return Verdict(
        score=score,
        status=_status(counting, override, bands, contradicting=contradicting),
        status_override=override,
        contradicting=contradicting,
        coverage_percent=_coverage_percent(ordered),
        tags=_tag_counts(counting),
        contributions=_with_influence(ordered, score),
    )


def _contribution(result: WorkerResult, now: datetime) -> Contribution:
    source, why = _source(result)
    blank = Contribution(
        worker_id=result.worker_id,
        short_name=result.short_name,
        source=source,
        why=why,
        weight=result.weight,
    )
    finding = _finding(result, source)
    if finding is not None:
        return _with_finding(blank, finding, now)
    return replace(blank, score=NO_FINDINGS) if blank.counts else blank


def _source(result: WorkerResult) -> tuple[Source, Why | None]:
    if result.task_state is TaskState.CANCELLED:
        return Source.EXCLUDED, Why.CANCELLED
    # Analyses of its own count whatever became of the task: they may have come late.
    if result.own or result.task_state is TaskState.SUCCESS:
        return Source.OWN, None
    why = _why_not_own(result.task_state)
    if result.previous is None or why is Why.UNFINISHED:
        return Source.MISSING, why
    return Source.PREVIOUS, why


def _why_not_own(state: TaskState | None) -> Why:
    match state:
        case None:
            return Why.NOT_RUN
        case TaskState.FAILED:
            return Why.FAILED
        case TaskState.TIMEOUT:
            return Why.TIMEOUT
        case _:
            return Why.UNFINISHED


def _finding(result: WorkerResult, source: Source) -> Finding | None:
    if source is Source.OWN:
        return max(result.own, key=_preference, default=None)
    return result.previous if source is Source.PREVIOUS else None


def _preference(finding: Finding) -> tuple[int, datetime, UUID]:
    # The newer of two equal scores, and the id so that the order of rows never decides.
    return finding.score, finding.created_at, finding.analysis_id


def _with_finding(
    contribution: Contribution, finding: Finding, now: datetime
) -> Contribution:
    return replace(
        contribution,
        analysis_id=finding.analysis_id,
        score=finding.score,
        override=finding.override,
        tags=finding.tags,
        worker_version=finding.worker_version,
        age_seconds=max(0, int((now - finding.created_at).total_seconds())),
    )


def _score(counting: Sequence[Contribution]) -> int:
    weighted = [
        contribution.weighted_score
        for contribution in counting
        if contribution.weighted_score is not None
    ]
    # Half up, not half to even: only then does every higher half mean a higher score.
    return int(max(weighted) + 0.5) if weighted else NO_FINDINGS


def _decisive(
    overrides: set[StatusOverride], manual_override: StatusOverride | None
) -> StatusOverride | None:
    if manual_override is not None:
        return manual_override
    return next(iter(overrides)) if len(overrides) == 1 else None


def _status(
    counting: Sequence[Contribution],
    override: StatusOverride | None,
    bands: Bands,
    *,
    contradicting: bool,
) -> VerdictStatus:
    if override is not None:
        return VerdictStatus(override)
    # A success without an analysis counts, but is nobody's word about the sample.
    has_analysis = any(part.analysis_id is not None for part in counting)
    if contradicting or not has_analysis:
        return VerdictStatus.UNKNOWN
    return _status_of_score(_score(counting), bands)


def _status_of_score(score: int, bands: Bands) -> VerdictStatus:
    if score == NO_FINDINGS:
        return VerdictStatus.NO_FINDINGS
    if score >= bands.malicious:
        return VerdictStatus.MALICIOUS
    if score >= bands.suspicious:
        return VerdictStatus.SUSPICIOUS
    return VerdictStatus.INFORMATIONAL


def _coverage_percent(contributions: Sequence[Contribution]) -> int:
    tasks = [contribution for contribution in contributions if contribution.is_task]
    if not tasks:
        return 0
    return 100 * sum(contribution.counts for contribution in tasks) // len(tasks)


def _tag_counts(counting: Sequence[Contribution]) -> tuple[TagCount, ...]:
    counts = Counter(tag for contribution in counting for tag in contribution.tags)
    ordered = sorted(
        counts.items(), key=lambda item: (-item[1], item[0].type, item[0].value)
    )
    return tuple(TagCount(tag=tag, count=count) for tag, count in ordered)


def _with_influence(
    contributions: Sequence[Contribution], score: int
) -> tuple[Contribution, ...]:
    total = sum(contribution.weighted_score or 0.0 for contribution in contributions)
    return tuple(
        replace(
            contribution,
            impact=_impact(contribution, total),
            difference=_difference(contribution, score),
        )
        for contribution in contributions
    )


def _impact(contribution: Contribution, total: float) -> float | None:
    if contribution.weighted_score is None:
        return None
    return 100 * (contribution.weighted_score / total) if total else 0.0


def _difference(contribution: Contribution, score: int) -> int | None:
    if contribution.score is None or contribution.score == NO_FINDINGS:
        return None
    return contribution.score - score
