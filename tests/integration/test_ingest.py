from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from orchestrator.contracts.alive import Manifest
from orchestrator.contracts.report import Reference, ReportedAnalysis
from orchestrator.contracts.token import StoredClaim
from orchestrator.db import unit_of_work, workers
from orchestrator.db.history import KEPT_REJECTED
from orchestrator.db.unit_of_work import Database, StatementTimeoutError
from orchestrator.domain.values import Actor
from orchestrator.flow.cancel import cancel_job, cancel_task
from orchestrator.flow.ingest import ingest
from orchestrator.flow.retry import retry_job
from orchestrator.messaging.codec import RawMessage
from tests.fixtures.engine import KEYS, Rig, raw


@pytest.fixture
def job(rig: Rig):
    rig.worker("alpha")
    job_id = rig.job()
    rig.dispatch()
    return job_id


def test_a_job_goes_from_enqueued_to_done_with_a_verdict(rig: Rig, job):
    assert rig.job_state(job) == "enqueued"

    rig.tell(rig.task(job), "executing")
    assert (rig.job_state(job), rig.task(job).state) == ("executing", "executing")

    rig.tell(rig.task(job), "success", score=80)
    assert (rig.job_state(job), rig.task(job).state) == ("done", "success")
    (verdict,) = rig.verdicts(job)
    assert (verdict.score, verdict.status, verdict.coverage_percent) == (
        80,
        "malicious",
        100,
    )
    assert rig.events(rig.task(job)) == []


def test_success_before_executing_is_applied_and_the_latecomer_is_stale(rig: Rig, job):
    task = rig.task(job)

    rig.ingest(rig.report(task, "success"), rig.report(task, "executing"))

    assert rig.task(job).state == "success"
    assert rig.events(task) == ["stale"]


def test_a_report_that_comes_twice_counts_once(rig: Rig, job):
    message = rig.report(rig.task(job), "success")

    rig.ingest(message, message)
    rig.ingest(message)

    assert len(rig.execute("SELECT 1 FROM analysis")) == 1
    assert len(rig.verdicts(job)) == 1


def test_a_second_replica_of_the_same_attempt_changes_nothing(rig: Rig, job):
    task = rig.task(job)
    rig.tell(task, "executing", replica="alpha-1@host")

    rig.tell(task, "success", replica="alpha-2@host")

    assert rig.task(job).state == "executing"
    assert rig.events(task) == ["stale"]


def test_a_report_of_an_older_attempt_changes_nothing(rig: Rig, job):
    old = rig.task(job)
    rig.tell(old, "executing")
    rig.tell(old, "released")
    assert rig.task(job).attempt == 2

    rig.tell(old, "success")

    assert (rig.task(job).state, rig.task(job).attempt) == ("enqueued", 2)
    assert rig.events(old) == ["released", "stale"]


def test_a_late_success_is_kept_and_rolls_the_verdict_again(rig: Rig, job):
    rig.tell(rig.task(job), "executing")
    rig.age(126)
    assert rig.expire() == 1
    assert (rig.task(job).state, rig.task(job).reason) == ("timeout", "run_time")
    assert rig.verdicts(job) == []

    rig.tell(rig.task(job), "success", score=50)

    assert (rig.task(job).state, rig.task(job).late) == ("timeout", True)
    assert [verdict.score for verdict in rig.verdicts(job)] == [50]
    assert rig.events(rig.task(job)) == ["expired", "late"]


def test_a_success_after_a_cancel_is_dropped(rig: Rig, job):
    rig.tell(rig.task(job), "executing")
    with rig.database.uow() as tx:
        cancel_task(tx, rig.task(job).id, engine=rig.engine, actor=Actor("me"))

    rig.tell(rig.task(job), "success")

    assert rig.task(job).state == "cancelled"
    assert rig.execute("SELECT 1 FROM analysis") == []
    assert rig.events(rig.task(job)) == ["cancelled", "dropped"]


@pytest.mark.parametrize("reason", ["error", "bad_result", "unsupported"])
def test_a_failure_that_trying_again_can_not_mend_ends_the_task(rig: Rig, job, reason):
    rig.tell(rig.task(job), "failed", reason=reason, message="because")

    task = rig.task(job)
    assert (task.state, task.reason, task.message) == ("failed", reason, "because")
    assert rig.job_state(job) == "done"


def test_crashes_back_off_and_end_after_three(rig: Rig, job):
    for losses in (1, 2):
        rig.tell(rig.task(job), "failed", reason="crashed")
        assert (rig.task(job).state, rig.task(job).losses) == ("enqueued", losses)
        assert rig.dispatch() == []
        rig.age(2**losses)
        assert len(rig.dispatch()) == 1

    rig.tell(rig.task(job), "failed", reason="crashed")

    assert (rig.task(job).state, rig.task(job).reason) == ("failed", "crashed")


def test_the_verdict_counts_a_failure_with_the_previous_analysis(rig: Rig, job):
    rig.tell(rig.task(job), "success", score=60)
    rig.age(60)
    again = rig.job()
    rig.tell(rig.task(again), "failed")

    (verdict,) = rig.verdicts(again)
    assert (verdict.score, verdict.coverage_percent) == (60, 100)
    (part,) = rig.execute(
        "SELECT source, why, age_seconds FROM verdict_input WHERE verdict_id = :v",
        v=verdict.id,
    )
    assert (part.source, part.why) == ("previous", "failed")
    assert part.age_seconds >= 60


def test_a_retry_keeps_what_succeeded(rig: Rig):
    rig.worker("alpha")
    rig.worker("beta")
    job = rig.job()
    rig.dispatch()
    rig.tell(rig.task(job, "alpha"), "success")
    rig.tell(rig.task(job, "beta"), "failed")
    assert rig.job_state(job) == "done"

    with rig.database.uow() as tx:
        assert retry_job(tx, job, engine=rig.engine, actor=Actor("me")) == 1

    assert rig.job_state(job) == "executing"
    assert rig.task(job, "beta").attempt == 2
    rig.dispatch()
    rig.tell(rig.task(job, "beta"), "success", score=90)
    assert rig.job_state(job) == "done"
    assert [verdict.score for verdict in rig.verdicts(job)] == [10, 90]


def test_cancelled_tasks_reach_no_broker_and_leave_the_verdict_out(rig: Rig):
    rig.worker("alpha")
    rig.worker("beta")
    job = rig.job()
    with rig.database.uow() as tx:
        assert cancel_job(tx, job, engine=rig.engine, actor=Actor("me")) == 2

    assert rig.dispatch() == []
    assert rig.job_state(job) == "done"
    assert rig.verdicts(job) == []


BAD = [
    (RawMessage(body=b"xx", headers={}, problem="too large"), "undecodable"),
    (raw("garbage"), "invalid"),
    (raw("[1]"), "invalid"),
    (raw({"type": "report", "version": 1}), "invalid"),
    (raw({"type": "report", "version": 2}), "unknown_version"),
    (raw({"type": "nonsense", "version": 1}), "unknown_type"),
    (raw({"type": "canary", "version": 1, "sent_at": "2026-01-01T00:00:00Z",
          "token": "test.x"}), "forged_token"),
    (raw({"type": "alive", "version": 1, "replica": "alpha-9@h", "sequence": 1,
          "worker": "alpha", "worker_version": "1", "slots": 1}), "forged_signature"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "kind"), BAD, ids=range(len(BAD)))
def test_a_bad_message_is_kept_with_its_reason_and_holds_up_nobody(
    rig: Rig, job, message, kind
):
    rig.ingest(message, rig.report(rig.task(job), "success"))

    assert [reason.split(":")[0] for reason in rig.rejected()] == [kind]
    assert rig.task(job).state == "success"


def test_a_token_of_another_attempt_is_forged(rig: Rig, job):
    task = rig.task(job)
    stolen = with_another_attempt(rig, task)

    rig.ingest(stolen)

    assert rig.task(job).state == "enqueued"
    assert rig.rejected()[0].startswith("forged_token")


def with_another_attempt(rig: Rig, task) -> RawMessage:
    message = rig.report(task, "success")
    changed = message.body.replace(b'"attempt":1', b'"attempt":2')
    return rig.signed(task.worker, changed)


def test_a_heartbeat_is_refused_after_a_new_enrolment(rig: Rig):
    rig.worker("alpha")
    old = rig.secrets["alpha"]
    rig.worker("alpha")
    rig.secrets["alpha"] = old

    rig.heartbeat("alpha-2@host")

    assert rig.rejected()[0].startswith("forged_signature")


def test_a_stale_heartbeat_changes_nothing(rig: Rig, job):
    task = rig.task(job)
    rig.heartbeat("alpha-1@host", (task.id, 1))
    rig.sequences["alpha-1@host"] -= 1

    rig.heartbeat("alpha-1@host")

    (row,) = rig.execute("SELECT holds FROM replica")
    assert row.holds == [f"{task.id}.1"]


def test_one_inapplicable_report_costs_the_batch_nothing(rig: Rig):
    """A batch that fails is halved until the bad one stands alone."""
    rig.worker("alpha")
    jobs = [rig.job(bytes([n])) for n in range(7)]
    rig.execute("ALTER TABLE analysis ADD CONSTRAINT no_thirteen CHECK (score <> 13)")
    messages = [
        rig.report(rig.task(job), "success", score=13 if n == 3 else 20)
        for n, job in enumerate(jobs)
    ]

    rig.ingest(*messages)

    states = [rig.task(job).state for job in jobs]
    assert states == ["success"] * 3 + ["enqueued"] + ["success"] * 3
    assert [reason.split(":")[0] for reason in rig.rejected()] == ["inapplicable"]


def test_characters_that_the_database_can_not_hold_are_replaced(rig: Rig, job):
    found = ReportedAnalysis(score=5, result={"a\x00b": ["\x00", "\\u0000"]})

    rig.tell(rig.task(job), "success", analysis=found, message="x\x00y")

    (row,) = rig.execute("SELECT result FROM analysis")
    assert row.result == {"a\ufffdb": ["\ufffd", "\\u0000"]}
    assert rig.task(job).message == "x\ufffdy"


def test_a_report_that_no_replica_of_its_worker_signed_changes_nothing(rig: Rig, job):
    """Whoever reads a worker's queue has tokens, and not the worker's secret."""
    message = rig.report(rig.task(job), "success")
    for headers in (
        {},
        {"signature": "0" * 64},
        rig.signed("beta", message.body).headers,
    ):
        rig.ingest(RawMessage(body=message.body, headers=headers, problem=None))

    assert rig.task(job).state == "enqueued"
    kinds = {reason.partition(":")[0] for reason in rig.rejected()}
    assert kinds == {"forged_signature"}


@pytest.mark.parametrize("changed", ["nothing", "kind", "sha256", "size", "receipt"])
def test_a_file_that_the_attempt_did_not_store_is_not_its_own(rig: Rig, job, changed):
    """Whoever knows a hash would have another's sample shown as its own finding."""
    task = rig.task(job)
    claim = StoredClaim(
        task_id=task.id, attempt=1, kind="evidence", sha256="0" * 64, size=5
    )
    lies: dict[str, Any] = {
        "nothing": "",
        "kind": "child",
        "sha256": "1" * 64,
        "size": 6,
        "receipt": KEYS.receipt(replace(claim, attempt=2)),
    }
    honest = Reference(
        kind="evidence", sha256="0" * 64, size=5, receipt=KEYS.receipt(claim)
    )
    reference = honest.model_copy(update={changed: lies[changed]})

    rig.tell(
        task, "success", analysis=ReportedAnalysis(score=1, references=(reference,))
    )

    assert (rig.task(job).state == "success") is (changed == "nothing")
    if changed != "nothing":
        assert rig.rejected()[0].startswith("forged_receipt")


def test_an_analysis_is_of_the_version_that_its_replica_announced(rig: Rig, job):
    rig.heartbeat("alpha-1@host", worker_version="7")

    rig.tell(rig.task(job), "success", worker_version="6")

    (row,) = rig.execute("SELECT agent_version FROM analysis")
    assert row.agent_version == "7"


def test_a_flood_of_refused_messages_is_counted_and_not_stored(rig: Rig):
    for _ in range(60):
        rig.ingest(*[RawMessage(body=b"x", headers={}, problem="odd")] * 30)
    rig.ingest(raw({"type": "nonsense\0", "version": 1}))

    kept = rig.execute("SELECT kind, count(*) AS n FROM rejected_report GROUP BY kind")
    assert {row.kind: row.n for row in kept} == {
        "undecodable": KEPT_REJECTED,
        "invalid": 1,
    }
    (counted,) = rig.execute(
        "SELECT sum(value) AS n FROM counter WHERE name = 'reports_rejected'"
    )
    assert counted.n == 60 * 30 + 1


@pytest.mark.parametrize("kind", ["report", "heartbeat"])
def test_what_no_statement_takes_is_set_apart_whatever_it_is(rig: Rig, job, kind):
    """What is too big for an index, for example, psycopg calls an operational error."""
    table, rows = {
        "report": ("job_task", "NEW.state = 'success'"),
        "heartbeat": ("replica", "NEW.id = 'alpha-1@host'"),
    }[kind]
    rig.execute(_REFUSING.replace("TABLE", table).replace("ROWS", rows))
    bad = {
        "report": rig.report(rig.task(job), "success"),
        "heartbeat": rig.alive("alpha-1@host"),
    }[kind]
    rig.worker("beta")
    other = rig.job(b"other", workers=("beta",))

    rig.ingest(bad, rig.report(rig.task(other, "beta"), "executing"))

    assert [reason.partition(":")[0] for reason in rig.rejected()] == ["inapplicable"]
    assert rig.task(other, "beta").state == "executing"


def test_what_waits_for_a_lock_is_tried_again_before_it_is_set_apart(
    rig: Rig, job, monkeypatch
):
    message = rig.report(rig.task(job), "success")
    monkeypatch.setitem(unit_of_work._SESSION, "statement_timeout", "500")
    database = Database(rig.database.url)

    with rig.database.engine.connect() as other:
        other.execute(text("SELECT 1 FROM job_task FOR UPDATE"))
        with pytest.raises(StatementTimeoutError):
            ingest(database, [message], engine=rig.engine)
        ingest(database, [message], engine=rig.engine, patient=False)
    database.close()

    assert rig.task(job).state == "enqueued"
    assert rig.rejected() == ["inapplicable: a statement took too long"]


_REFUSING = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'too big' USING ERRCODE = 'program_limit_exceeded';
END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON TABLE FOR EACH ROW WHEN (ROWS)
    EXECUTE FUNCTION refuse();
"""


def test_a_worker_has_no_more_replicas_and_versions_than_it_may(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
):
    """Else one could make what is read at every tick as large as it likes."""
    rig.worker("alpha")
    monkeypatch.setattr(workers, "REPLICAS_MAX", 3)
    monkeypatch.setattr(workers, "VERSIONS_MAX", 3)

    for number in range(2, 9):
        rig.heartbeat(
            f"alpha-{number}@host", worker_version=str(number), manifest=Manifest()
        )
        rig.heartbeat("alpha-1@host", worker_version="1", manifest=Manifest())

    replicas = rig.execute("SELECT id FROM replica")
    versions = rig.execute("SELECT version FROM worker_version")
    assert (len(replicas), len(versions)) == (3, 3)
    assert {reason.partition(":")[0] for reason in rig.rejected()} == {
        "too_many_replicas"
    }
