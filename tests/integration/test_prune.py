"""
What is old goes, in parts; what later jobs count with stays.
"""

from __future__ import annotations

import threading
from uuid import UUID

import pytest
from sqlalchemy import text

from orchestrator.catalog.challenges import REMEMBERED
from orchestrator.db import retention
from orchestrator.domain.limits import Retention
from orchestrator.domain.values import Actor
from orchestrator.flow import prune as pruning
from orchestrator.flow.prune import prune
from orchestrator.flow.retry import retry_job
from tests.fixtures.engine import Rig, raw

DAY = 86_400.0
KEPT = Retention()


def _finished(rig: Rig, content: bytes = b"hello", *, score: int = 10) -> UUID:
    job_id = rig.job(content)
    rig.dispatch()
    for task in rig.tasks(job_id).values():
        rig.tell(task, "success", score=score)
    assert rig.job_state(job_id) == "done"
    return job_id


def _count(rig: Rig, table: str) -> int:
    return int(rig.execute(f"SELECT count(*) AS n FROM {table}")[0].n)  # noqa: S608


def _jobs(rig: Rig) -> set[UUID]:
    return {row.id for row in rig.execute("SELECT id FROM job")}


@pytest.fixture
def alpha(rig: Rig) -> Rig:
    rig.worker("alpha")
    return rig


def test_finished_jobs_go_after_their_time_and_open_ones_never(alpha: Rig):
    old = _finished(alpha)
    alpha.age(80 * DAY)
    young = _finished(alpha, b"other")
    alpha.age(9.9 * DAY)
    open_job = alpha.job(b"third")
    prune(alpha.database, KEPT)
    assert _jobs(alpha) == {old, young, open_job}

    alpha.age(0.2 * DAY)
    alpha.execute("UPDATE job SET enqueued_at = enqueued_at - interval '1 year'")
    prune(alpha.database, KEPT)

    assert _jobs(alpha) == {young, open_job}
    assert _count(alpha, "job_task") == 2
    # The sample's current verdict, with what it was rolled from.
    assert _count(alpha, "verdict") == 2
    assert _count(alpha, "verdict_input") == 2
    assert _count(alpha, "analysis") == 2


def test_what_a_worker_said_last_counts_after_its_job_is_gone(alpha: Rig):
    for score in (20, 80):
        _finished(alpha, score=score)
    alpha.age(100 * DAY)
    prune(alpha.database, KEPT)
    assert _jobs(alpha) == set()
    alpha.heartbeat("alpha-1@host")
    failed = alpha.job()
    alpha.dispatch()

    alpha.tell(alpha.task(failed), "failed")

    (verdict,) = alpha.verdicts(failed)
    assert verdict.score == 80
    assert verdict.coverage_percent == 100
    sources = alpha.execute(
        "SELECT source, why FROM verdict_input WHERE verdict_id = :id", id=verdict.id
    )
    assert [(row.source, row.why) for row in sources] == [("previous", "failed")]


def test_older_analyses_go_with_their_jobs(alpha: Rig):
    for score in (20, 50, 80):
        _finished(alpha, score=score)
        alpha.age(60)
    alpha.age(100 * DAY)

    prune(alpha.database, KEPT)

    assert [row.score for row in alpha.execute("SELECT score FROM analysis")] == [80]
    assert _count(alpha, "task_analysis") == 0
    assert [row.score for row in alpha.execute("SELECT score FROM verdict")] == [80]


def test_a_job_that_is_tried_again_meanwhile_stays(alpha: Rig):
    job_id = alpha.job()
    alpha.dispatch()
    alpha.tell(alpha.task(job_id), "failed")
    alpha.age(100 * DAY)
    locked, done = threading.Event(), threading.Event()

    def retry() -> None:
        with alpha.database.uow() as tx:
            retry_job(tx, job_id, engine=alpha.engine, actor=Actor("test"))
            locked.set()
            done.wait(10)

    thread = threading.Thread(target=retry)
    thread.start()
    assert locked.wait(10)
    prune(alpha.database, KEPT)
    done.set()
    thread.join()
    prune(alpha.database, KEPT)

    task = alpha.task(job_id)
    assert (task.state, task.attempt) == ("enqueued", 2)


def test_events_refused_reports_replicas_and_the_audit_have_their_own_times(alpha: Rig):
    _finished(alpha)
    job_id = alpha.job(b"other")
    alpha.dispatch()
    alpha.tell(alpha.task(job_id), "released")
    alpha.ingest(raw("no report"))
    alpha.execute(
        "INSERT INTO audit (actor, action, object) VALUES ('test', 'a.b', 'c')"
    )
    counted = ("replica", "rejected_report", "task_event", "audit")
    seen = [[_count(alpha, table) for table in counted]]

    for days in (2, 6, 23, 340):
        alpha.age(days * DAY)
        prune(alpha.database, Retention(jobs=KEPT.jobs * 100))
        seen.append([min(_count(alpha, table), 1) for table in counted])

    audited = seen[0][3]
    assert seen[0][:3] == [1, 1, 1]
    assert audited >= 1
    assert seen[1:] == [[0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_a_key_of_repeats_is_free_again_after_a_week(alpha: Rig):
    first = alpha.job(idempotency_key="k")
    alpha.age(6 * DAY)
    prune(alpha.database, KEPT)
    assert alpha.job(idempotency_key="k") == first

    alpha.age(1.1 * DAY)
    prune(alpha.database, KEPT)

    assert alpha.job(idempotency_key="k") != first


@pytest.mark.parametrize(("score", "left"), [(10, 0), (90, 1)])
def test_a_submission_goes_when_asked_unless_the_sample_is_malicious(
    alpha: Rig, score: int, left: int
):
    _finished(alpha, score=score)
    alpha.execute(
        "INSERT INTO submission (id, sample_sha256, customer_id, created_by, file_name,"
        " mime_type, agent_name, agent_version, observed_at, expires_at, content_hash)"
        " SELECT gen_random_uuid(), sample_sha256, customer_id, submitter_id, 'a', 'b',"
        " 'c', 'd', now(), now() + interval '1 day', '' FROM job"
    )
    prune(alpha.database, KEPT)
    assert _count(alpha, "submission") == 1

    alpha.age(1.1 * DAY)
    prune(alpha.database, KEPT)

    assert _count(alpha, "submission") == left


def test_a_round_is_bounded_and_the_next_goes_on(
    alpha: Rig, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pruning, "_JOBS", 2)
    monkeypatch.setattr(pruning, "_BATCHES", 2)
    for number in range(7):
        _finished(alpha, str(number).encode())
    alpha.age(100 * DAY)
    alpha.execute("DELETE FROM replica")

    removed = [prune(alpha.database, KEPT) for _ in range(3)]

    assert removed == [4, 3, 0]
    assert _jobs(alpha) == set()


def test_two_at_once_remove_everything_once(alpha: Rig):
    for number in range(20):
        _finished(alpha, str(number).encode())
    alpha.age(100 * DAY)
    alpha.execute("DELETE FROM replica")
    removed: list[int] = []

    def run() -> None:
        removed.append(prune(alpha.database, KEPT))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(removed) == 20
    assert _jobs(alpha) == set()


def test_no_history_is_read_to_find_what_is_old(alpha: Rig):
    _finished(alpha)
    alpha.execute(
        "INSERT INTO job (id, sample_sha256, customer_id, submitter_id, state,"
        " enqueued_at, ended_at) SELECT gen_random_uuid(), sample_sha256, customer_id,"
        " submitter_id, 'done', now() - interval '10 days', now() - interval '9 days'"
        " FROM job, generate_series(1, 50000)"
    )
    alpha.execute("ANALYZE job")

    plan = alpha.execute(
        "EXPLAIN SELECT id FROM job WHERE ended_at IS NOT NULL"
        " AND ended_at < now() - interval '90 days' ORDER BY ended_at LIMIT 200"
    )

    assert "ix_job_ended" in " ".join(str(row[0]) for row in plan)
    with alpha.database.uow() as tx:
        assert retention.lock_old_jobs(tx, before=tx.now - KEPT.jobs, limit=9) == []
        assert (
            tx.connection.execute(text("SELECT count(*) FROM job")).scalar() == 50_001
        )


def test_wrong_answers_to_challenges_are_kept_while_they_count(alpha: Rig):
    alpha.job()
    alpha.execute(
        "INSERT INTO wrong_answer (user_id, sample_sha256, wrong, last_at)"
        " SELECT submitter_id, sample_sha256, 9, now() FROM job LIMIT 1"
    )

    alpha.age(REMEMBERED.days * DAY)
    prune(alpha.database, KEPT)
    kept = _count(alpha, "wrong_answer")
    alpha.age(2 * DAY)
    prune(alpha.database, KEPT)

    assert (kept, _count(alpha, "wrong_answer")) == (1, 0)
