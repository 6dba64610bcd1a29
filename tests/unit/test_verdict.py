from __future__ import annotations

import json
import random
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.values import TaskState
from orchestrator.domain.verdict import (
    Bands,
    Contribution,
    Finding,
    Source,
    StatusOverride,
    Tag,
    TagCount,
    Verdict,
    VerdictStatus,
    Why,
    WorkerResult,
    recompute,
    roll,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
BANDS = Bands()
MALICIOUS, BENIGN = StatusOverride.MALICIOUS, StatusOverride.BENIGN
EMOTET = Tag(type="family", value="emotet")
PACKED = Tag(type="behaviour", value="packed")


def finding(score: int, *, number: int = 1, **fields) -> Finding:
    return Finding(
        analysis_id=UUID(int=number),
        score=score,
        worker_version=fields.pop("worker_version", "1"),
        created_at=fields.pop("created_at", NOW),
        **fields,
    )


def worker(
    number: int = 1, *own: Finding, state: TaskState | None = None, **fields
) -> WorkerResult:
    return WorkerResult(
        worker_id=UUID(int=number),
        short_name=f"w{number:04}",
        weight=fields.pop("weight", 1.0),
        task_state=state,
        own=own,
        **fields,
    )


def ran(number: int, *scores: int, **fields) -> WorkerResult:
    own = [
        finding(score, number=100 * number + place)
        for place, score in enumerate(scores)
    ]
    return worker(number, *own, state=TaskState.SUCCESS, **fields)


def rolled(
    *results: WorkerResult,
    manual: StatusOverride | None = None,
    bands: Bands = BANDS,
) -> Verdict:
    verdict = roll(results, manual_override=manual, bands=bands, now=NOW)
    assert verdict is not None
    return verdict


def only(verdict: Verdict) -> Contribution:
    (contribution,) = verdict.contributions
    return contribution


# The score


def test_the_score_is_the_highest_weighted_one():
    verdict = rolled(ran(1, 40), ran(2, 90, weight=0.5), ran(3, 10))

    assert verdict.score == 45


@pytest.mark.parametrize(
    ("weight", "score", "expected"),
    [(0.5, 1, 1), (0.5, 3, 2), (0.5, 5, 3), (0.25, 1, 0), (1.0, 100, 100)],
)
def test_halves_are_rounded_up(weight, score, expected):
    assert rolled(ran(1, score, weight=weight)).score == expected


def test_of_several_own_analyses_the_highest_counts():
    verdict = rolled(ran(1, 20, 80, -1))

    assert verdict.score == 80
    assert only(verdict).analysis_id == UUID(int=101)


def test_of_equal_own_analyses_the_newest_counts():
    old = finding(50, number=2, created_at=NOW - timedelta(days=1))
    new = finding(50, number=1)

    verdict = rolled(worker(1, old, new, state=TaskState.SUCCESS))

    assert only(verdict).analysis_id == UUID(int=1)


def test_an_analysis_without_findings_contributes_nothing_but_covers():
    verdict = rolled(ran(1, -1), ran(2, 60))

    silent = verdict.contributions[0]
    assert verdict.score == 60
    assert (silent.score, silent.impact, silent.difference) == (-1, None, None)
    assert verdict.coverage_percent == 100


def test_without_any_findings_the_score_is_minus_one_and_the_status_says_so():
    verdict = rolled(ran(1, -1), ran(2, -1))

    assert (verdict.score, verdict.status) == (-1, VerdictStatus.NO_FINDINGS)


def test_a_success_without_analysis_counts_as_no_findings():
    contribution = only(rolled(worker(1, state=TaskState.SUCCESS)))

    assert contribution.source is Source.OWN
    assert (contribution.score, contribution.analysis_id) == (-1, None)


def test_a_success_never_falls_back_on_a_previous_analysis():
    verdict = rolled(worker(1, state=TaskState.SUCCESS, previous=finding(90)))

    assert verdict.score == -1


def test_impact_is_the_share_in_the_weighted_scores():
    verdict = rolled(ran(1, 90), ran(2, 60, weight=0.5), ran(3, 0))

    assert [contribution.impact for contribution in verdict.contributions] == [
        75.0,
        25.0,
        0.0,
    ]


def test_impact_is_zero_when_every_score_is():
    verdict = rolled(ran(1, 0), ran(2, 0))

    assert [contribution.impact for contribution in verdict.contributions] == [0.0, 0.0]


def test_difference_is_the_distance_from_the_verdict():
    verdict = rolled(ran(1, 100, weight=0.5), ran(2, 20))

    assert [contribution.difference for contribution in verdict.contributions] == [
        50,
        -30,
    ]


# Where the parts come from


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (TaskState.FAILED, Why.FAILED),
        (TaskState.TIMEOUT, Why.TIMEOUT),
        (None, Why.NOT_RUN),
    ],
)
def test_a_previous_analysis_stands_in_and_says_why_how_old_and_of_which_version(
    state, why
):
    previous = finding(
        70, number=7, worker_version="0.9", created_at=NOW - timedelta(hours=1)
    )

    verdict = rolled(worker(1, state=state, previous=previous))

    part = only(verdict)
    assert verdict.score == 70
    assert (part.source, part.why) == (Source.PREVIOUS, why)
    assert (part.analysis_id, part.worker_version) == (UUID(int=7), "0.9")
    assert part.age_seconds == 3600


@pytest.mark.parametrize("state", [TaskState.FAILED, TaskState.TIMEOUT])
def test_an_own_analysis_that_came_late_replaces_the_previous_one(state):
    verdict = rolled(worker(1, finding(10), state=state, previous=finding(90)))

    assert only(verdict).source is Source.OWN
    assert verdict.score == 10


def test_a_failure_without_previous_analysis_is_missing_and_lowers_coverage():
    verdict = rolled(ran(1, 50), worker(2, state=TaskState.FAILED))

    missing = verdict.contributions[1]
    assert (missing.source, missing.why) == (Source.MISSING, Why.FAILED)
    assert missing.score is None
    assert verdict.coverage_percent == 50


@pytest.mark.parametrize("state", [TaskState.ENQUEUED, TaskState.EXECUTING])
def test_nothing_stands_in_for_a_task_that_has_not_ended(state):
    verdict = rolled(ran(1, 50), worker(2, state=state, previous=finding(90)))

    open_one = verdict.contributions[1]
    assert (open_one.source, open_one.why) == (Source.MISSING, Why.UNFINISHED)
    assert (verdict.score, verdict.coverage_percent) == (50, 50)


def test_a_cancelled_task_is_listed_and_counts_nowhere():
    cancelled = worker(2, finding(100, override=MALICIOUS), state=TaskState.CANCELLED)

    verdict = rolled(ran(1, 10), replace(cancelled, previous=finding(100)))

    excluded = verdict.contributions[1]
    assert (excluded.source, excluded.why) == (Source.EXCLUDED, Why.CANCELLED)
    assert (verdict.score, verdict.status_override) == (10, None)
    assert verdict.coverage_percent == 100


def test_a_worker_without_a_task_is_not_part_of_coverage():
    verdict = rolled(ran(1, 10), worker(2, previous=finding(80)), worker(3), ran(4, -1))

    assert verdict.score == 80
    assert verdict.coverage_percent == 100


def test_coverage_is_rounded_down_so_that_100_means_all():
    results = [ran(number, 10) for number in range(1, 200)]

    verdict = rolled(*results, worker(200, state=TaskState.FAILED))

    assert verdict.coverage_percent == 99


@pytest.mark.parametrize(
    "results",
    [
        [],
        [worker(1, state=TaskState.CANCELLED, previous=finding(90))],
        [worker(1, state=TaskState.FAILED), worker(2, state=TaskState.TIMEOUT)],
        [worker(1)],
    ],
    ids=["no tasks", "cancelled", "missing", "not run"],
)
@pytest.mark.parametrize("manual", [None, MALICIOUS])
def test_a_job_where_nothing_counts_rolls_none(results, manual):
    assert roll(results, manual_override=manual, bands=BANDS, now=NOW) is None


def test_an_analysis_of_the_future_has_no_negative_age():
    ahead = finding(10, created_at=NOW + timedelta(seconds=5))

    assert only(rolled(worker(1, ahead, state=TaskState.SUCCESS))).age_seconds == 0


# The status


@pytest.mark.parametrize(
    ("score", "status"),
    [
        (-1, VerdictStatus.NO_FINDINGS),
        (0, VerdictStatus.INFORMATIONAL),
        (29, VerdictStatus.INFORMATIONAL),
        (30, VerdictStatus.SUSPICIOUS),
        (69, VerdictStatus.SUSPICIOUS),
        (70, VerdictStatus.MALICIOUS),
        (100, VerdictStatus.MALICIOUS),
    ],
)
def test_the_status_follows_the_bands(score, status):
    assert rolled(ran(1, score)).status is status


def test_successes_without_an_analysis_leave_the_status_unknown():
    verdict = rolled(worker(1, state=TaskState.SUCCESS))

    assert (verdict.score, verdict.coverage_percent) == (-1, 100)
    assert verdict.status is VerdictStatus.UNKNOWN


def test_a_previous_analysis_without_findings_is_one_that_counts():
    previous = worker(1, state=TaskState.FAILED, previous=finding(-1))

    verdict = rolled(previous, worker(2, state=TaskState.SUCCESS))

    assert verdict.status is VerdictStatus.NO_FINDINGS


@given(st.lists(st.integers(-1, 100), min_size=1))
def test_no_score_says_that_a_sample_is_benign(scores):
    results = (ran(place, score) for place, score in enumerate(scores, 1))

    assert rolled(*results).status is not VerdictStatus.BENIGN


def test_the_bands_are_settings():
    assert rolled(ran(1, 69), bands=Bands(malicious=60)).status == "malicious"


def overriding(number: int, override: StatusOverride, score: int = 10) -> WorkerResult:
    own = finding(score, number=number, override=override)
    return worker(number, own, state=TaskState.SUCCESS)


@pytest.mark.parametrize("score", [-1, 10])
def test_an_override_decides_the_status_and_leaves_the_score(score):
    verdict = rolled(overriding(1, MALICIOUS, score))

    assert verdict.status is VerdictStatus.MALICIOUS
    assert verdict.status_override is MALICIOUS
    assert verdict.score == score


def test_the_override_of_a_previous_analysis_counts():
    previous = finding(100, override=BENIGN)

    verdict = rolled(worker(1, state=TaskState.TIMEOUT, previous=previous))

    assert verdict.status is VerdictStatus.BENIGN


def test_contradicting_overrides_leave_the_status_unknown():
    verdict = rolled(overriding(1, MALICIOUS), overriding(2, BENIGN), ran(3, 100))

    assert verdict.contradicting
    assert verdict.status_override is None
    assert verdict.status is VerdictStatus.UNKNOWN


def test_agreeing_overrides_do_not_contradict():
    verdict = rolled(overriding(1, BENIGN), overriding(2, BENIGN))

    assert not verdict.contradicting
    assert verdict.status_override is BENIGN


def test_a_manual_override_stands_against_every_analysis():
    verdict = rolled(overriding(1, MALICIOUS, 100), manual=BENIGN)

    assert verdict.status is VerdictStatus.BENIGN
    assert verdict.status_override is BENIGN
    assert verdict.score == 100
    assert not verdict.contradicting


def test_a_manual_override_decides_where_analyses_contradict_and_hides_it_not():
    verdict = rolled(overriding(1, MALICIOUS), overriding(2, BENIGN), manual=MALICIOUS)

    assert verdict.status is VerdictStatus.MALICIOUS
    assert verdict.contradicting


def test_tags_are_counted_by_analysis_the_most_frequent_first():
    both = finding(10, tags=frozenset({EMOTET, PACKED}))
    cancelled = worker(3, both, state=TaskState.CANCELLED)
    previous = finding(5, tags=frozenset({PACKED}))

    verdict = rolled(
        worker(1, both, state=TaskState.SUCCESS),
        worker(2, state=TaskState.FAILED, previous=previous),
        cancelled,
    )

    assert verdict.tags == (
        TagCount(tag=PACKED, count=2),
        TagCount(tag=EMOTET, count=1),
    )


# What is refused


@pytest.mark.parametrize("score", [-2, 101])
def test_a_score_out_of_range_is_refused(score):
    with pytest.raises(ValueError, match="score"):
        finding(score)


@pytest.mark.parametrize("weight", [0, -0.5, 1.01, float("nan")])
def test_a_weight_out_of_range_is_refused(weight):
    with pytest.raises(ValueError, match="weight"):
        worker(weight=weight)


@pytest.mark.parametrize(("malicious", "suspicious"), [(30, 70), (101, 30), (70, -1)])
def test_bands_out_of_order_are_refused(malicious, suspicious):
    with pytest.raises(ValueError, match="suspicious"):
        Bands(malicious=malicious, suspicious=suspicious)


# Everything at once

overrides = st.none() | st.sampled_from(StatusOverride)
findings = st.builds(
    Finding,
    analysis_id=st.uuids(),
    score=st.integers(-1, 100),
    override=overrides,
    worker_version=st.sampled_from(["", "1", "2"]),
    created_at=st.integers(0, 10_000).map(lambda age: NOW - timedelta(seconds=age)),
    tags=st.frozensets(st.sampled_from([EMOTET, PACKED])),
)
weights = st.floats(0, 1, exclude_min=True)
states = st.none() | st.sampled_from(TaskState)


@st.composite
def worker_results(draw, number: int = 1) -> WorkerResult:
    state = draw(states)
    own = draw(st.lists(findings, max_size=3)) if state else []
    return worker(
        number,
        *own,
        state=state,
        weight=draw(weights),
        previous=draw(st.none() | findings),
    )


@st.composite
def jobs(draw) -> list[WorkerResult]:
    size = draw(st.integers(0, 6))
    return [draw(worker_results(number)) for number in range(1, size + 1)]


def roll_of(results, manual=None) -> Verdict | None:
    return roll(results, manual_override=manual, bands=BANDS, now=NOW)


def score_of(results) -> int:
    verdict = roll_of(results)
    return -1 if verdict is None else verdict.score


@given(job=jobs(), more=worker_results(number=9))
def test_one_more_worker_never_lowers_the_score(job, more):
    assert score_of([*job, more]) >= score_of(job)


@given(job=jobs(), data=st.data())
def test_raising_a_finding_never_lowers_the_score(job, data):
    result = data.draw(worker_results(number=9).filter(lambda result: result.own))
    place = data.draw(st.integers(0, len(result.own) - 1))
    higher = data.draw(st.integers(result.own[place].score, 100))
    own = list(result.own)
    own[place] = replace(own[place], score=higher)

    raised = replace(result, own=tuple(own))

    assert score_of([*job, raised]) >= score_of([*job, result])


@given(job=jobs(), result=worker_results(number=9), more=findings)
def test_another_own_finding_never_lowers_the_score(job, result, more):
    before = replace(result, previous=None)
    after = replace(before, own=(*before.own, more))

    assert score_of([*job, after]) >= score_of([*job, before])


@given(job=jobs(), manual=overrides, data=st.data())
def test_no_order_matters(job, manual, data):
    shuffled = [
        replace(result, own=tuple(data.draw(st.permutations(result.own))))
        for result in data.draw(st.permutations(job))
    ]

    assert roll_of(shuffled, manual) == roll_of(job, manual)


@given(job=jobs())
def test_impacts_are_percentages_that_sum_to_a_hundred_or_nothing(job):
    verdict = roll_of(job)
    parts = verdict.contributions if verdict else ()

    impacts = [part.impact for part in parts if part.impact is not None]

    assert all(0 <= impact <= 100 for impact in impacts)
    assert sum(impacts) == pytest.approx(100) or not any(impacts)


@given(job=jobs(), manual=overrides)
def test_numbers_stay_in_their_ranges(job, manual):
    verdict = roll_of(job, manual)
    if verdict is None:
        return

    differences = [contribution.difference for contribution in verdict.contributions]
    assert -1 <= verdict.score <= 100
    assert 0 <= verdict.coverage_percent <= 100
    assert all(value is None or -100 <= value <= 100 for value in differences)


@given(job=jobs())
def test_the_previous_analysis_counts_exactly_without_own_one_in_three_states(job):
    verdict = roll_of(job)
    parts = verdict.contributions if verdict else ()
    used = {part.short_name for part in parts if part.source is Source.PREVIOUS}

    expected = {
        result.short_name
        for result in job
        if result.task_state in {TaskState.FAILED, TaskState.TIMEOUT, None}
        and result.previous is not None
        and not result.own
    }

    assert used == expected


@given(job=jobs(), manual=overrides)
def test_cancelled_tasks_change_nothing_but_the_list(job, manual):
    kept = [result for result in job if result.task_state is not TaskState.CANCELLED]

    whole, without = roll_of(job, manual), roll_of(kept, manual)

    if whole is not None:
        counted = [
            contribution
            for contribution in whole.contributions
            if contribution.source is not Source.EXCLUDED
        ]
        whole = replace(whole, contributions=tuple(counted))
    assert whole == without


@given(job=jobs())
def test_coverage_is_a_hundred_exactly_when_every_task_counts(job):
    verdict = roll_of(job)
    parts = verdict.contributions if verdict else ()
    tasks = [part for part in parts if part.is_task]

    if verdict is not None and tasks:
        complete = all(part.counts for part in tasks)
        assert (verdict.coverage_percent == 100) == complete


@given(job=jobs(), bands=st.tuples(st.integers(0, 100), st.integers(0, 100)))
def test_a_manual_override_is_the_status_of_every_later_verdict(job, bands):
    suspicious, malicious = sorted(bands)
    edges = Bands(suspicious=suspicious, malicious=malicious)

    for manual in StatusOverride:
        verdict = roll(job, manual_override=manual, bands=edges, now=NOW)
        assert verdict is None or verdict.status.value == manual.value


# Repeating it


def stored_and_loaded(contribution: Contribution) -> Contribution:
    """What is left of a contribution after a trip through JSON."""
    row = asdict(contribution)
    row["tags"] = [(tag.type, tag.value) for tag in contribution.tags]
    loaded = json.loads(json.dumps(row, default=str))
    return Contribution(
        **loaded
        | {
            "worker_id": UUID(loaded["worker_id"]),
            "analysis_id": loaded["analysis_id"] and UUID(loaded["analysis_id"]),
            "source": Source(loaded["source"]),
            "why": loaded["why"] and Why(loaded["why"]),
            "override": loaded["override"] and StatusOverride(loaded["override"]),
            "tags": frozenset(Tag(type=t, value=v) for t, v in loaded["tags"]),
        }
    )


@given(job=jobs(), manual=overrides)
def test_a_verdict_repeats_from_its_stored_contributions(job, manual):
    verdict = roll_of(job, manual)
    parts = verdict.contributions if verdict else ()

    again = recompute(
        map(stored_and_loaded, parts), manual_override=manual, bands=BANDS
    )

    assert again == verdict


def test_what_was_derived_is_never_read_when_a_verdict_is_repeated():
    verdict = rolled(ran(1, 80), ran(2, 20))
    forged = [
        replace(contribution, impact=1.0, difference=1)
        for contribution in verdict.contributions
    ]

    assert recompute(forged, manual_override=None, bands=BANDS) == verdict


def test_a_changed_input_no_longer_repeats_the_verdict():
    verdict = rolled(ran(1, 80), ran(2, 20))
    first, second = verdict.contributions
    changed = [replace(first, score=81), second]

    assert recompute(changed, manual_override=None, bands=BANDS) != verdict


def random_job(dice: random.Random) -> list[WorkerResult]:
    return [random_result(dice, number) for number in range(1, dice.randint(2, 9))]


def random_result(dice: random.Random, number: int) -> WorkerResult:
    state = dice.choice([None, *TaskState])
    own = [random_finding(dice) for _ in range(dice.randint(0, 2))]
    return worker(
        number,
        *(own if state else ()),
        state=state,
        weight=dice.randint(1, 100) / 100,
        previous=dice.choice([None, random_finding(dice)]),
    )


def random_finding(dice: random.Random) -> Finding:
    return finding(
        dice.randint(-1, 100),
        number=dice.getrandbits(64),
        override=dice.choice([None, None, None, *StatusOverride]),
    )


def plainly(job: list[WorkerResult]) -> tuple[int, int] | None:
    """Score and coverage as the design words them, by another way."""
    tasks = counted = 0
    best = -1.0
    covered = 0
    for result in job:
        if result.task_state == "cancelled":
            continue
        scores = [finding.score for finding in result.own]
        if not scores and result.task_state == "success":
            scores = [-1]
        if (
            not scores
            and result.previous
            and result.task_state in {"failed", "timeout", None}
        ):
            scores = [result.previous.score]
        tasks += result.task_state is not None
        covered += bool(scores) and result.task_state is not None
        counted += bool(scores)
        if scores and max(scores) >= 0:
            best = max(best, result.weight * max(scores))
    if not counted:
        return None
    score = -1 if best < 0 else int(best + 0.5)
    return score, (100 * covered // tasks if tasks else 0)


def test_ten_thousand_random_jobs_roll_as_worded_and_repeat_exactly():
    dice = random.Random(20300101)
    for _ in range(10_000):
        job = random_job(dice)
        manual = dice.choice([None, None, *StatusOverride])

        verdict = roll_of(job, manual)

        parts = verdict.contributions if verdict else ()
        expected = (verdict.score, verdict.coverage_percent) if verdict else None
        assert plainly(job) == expected
        assert recompute(parts, manual_override=manual, bands=BANDS) == verdict
