"""
What the database says of the system: each trouble alone, with its remedy.
"""

from __future__ import annotations

from datetime import timedelta

from orchestrator.catalog.workers import pause_worker
from orchestrator.domain.values import Actor
from orchestrator.queries.diagnose import Finding, Level, diagnose
from tests.fixtures.engine import Rig

LEASE = timedelta(seconds=15)


def examine(rig: Rig) -> dict[str, Finding]:
    return {finding.what: finding for finding in diagnose(rig.database, lease=LEASE)}


def test_a_worker_that_lives_is_well(rig: Rig):
    rig.worker("alpha", slots=3)
    rig.job()

    found = examine(rig)["worker alpha"]

    assert found.level is Level.OK
    assert found.detail == "1 replicas with 3 slots live; 1 tasks wait"


def test_a_worker_that_nobody_runs_is_bad_only_when_tasks_wait(rig: Rig):
    rig.worker("alpha")
    rig.age(60)
    idle = examine(rig)["worker alpha"]
    rig.job()

    waiting = examine(rig)["worker alpha"]

    assert (idle.level, waiting.level) == (Level.WARN, Level.FAIL)
    assert "1 tasks wait" in waiting.detail
    assert waiting.remedy == "start a replica: assay worker run alpha"


def test_a_replica_that_stands_aside_says_why_and_all_of_them_are_bad(rig: Rig):
    rig.worker("alpha")
    rig.heartbeat("alpha-1@host")
    rig.heartbeat("alpha-2@host", aside="/tmp is full: make room")
    one = examine(rig)["replica alpha-2@host"]
    rig.execute("DELETE FROM replica WHERE aside IS NULL")

    all_of_them = examine(rig)["replica alpha-2@host"]

    assert (one.level, all_of_them.level) == (Level.WARN, Level.FAIL)
    assert "/tmp is full: make room" in one.detail
    assert one.remedy


def test_a_replica_whose_clock_is_wrong_is_named(rig: Rig):
    rig.worker("alpha")
    rig.heartbeat("alpha-1@host", skew_seconds=1.0)
    rig.heartbeat("alpha-2@host", skew_seconds=-75.4)

    found = examine(rig)

    assert "replica alpha-1@host" not in found
    named = found["replica alpha-2@host"]
    assert named.level is Level.WARN
    assert named.detail == "its clock is 75 s behind the API's"


def test_since_when_is_kept_until_it_works_again(rig: Rig):
    rig.worker("alpha")
    rig.heartbeat("alpha-1@host", aside="one trouble")
    first = rig.execute("SELECT * FROM replica WHERE aside IS NOT NULL")[0]
    rig.heartbeat("alpha-1@host", aside="another")
    second = rig.execute("SELECT * FROM replica WHERE aside IS NOT NULL")[0]
    rig.heartbeat("alpha-1@host")

    assert (second.aside, second.aside_at) == ("another", first.aside_at)
    assert rig.execute("SELECT * FROM replica WHERE aside_at IS NOT NULL") == []


def test_a_paused_worker_is_said_to_be(rig: Rig):
    rig.worker("alpha")
    with rig.database.uow() as tx:
        pause_worker(tx, "alpha", actor=Actor("test"))

    found = examine(rig)["worker alpha"]

    assert found.level is Level.WARN
    assert "assay worker resume alpha" in (found.remedy or "")


def test_refused_messages_and_poison_are_counted(rig: Rig):
    rig.worker("alpha")
    sample = rig.sample()
    before = examine(rig)
    rig.execute(
        "INSERT INTO rejected_report (reason, body, size_bytes)"
        " VALUES ('older', '', 0), ('bad signature', '', 0)"
    )
    rig.execute(
        "INSERT INTO rejected_report (reason, body, size_bytes, created_at)"
        " VALUES ('yesterday', '', 0, now() - interval '1 day')"
    )
    rig.execute(
        "INSERT INTO poison (sample_sha256, worker_id, version, deaths, first_at,"
        " last_at, poisoned_at) SELECT :s, id, '1', 3, now(), now(), now() FROM worker",
        s=sample,
    )

    after = examine(rig)

    assert before["rejected"].level is before["poison"].level is Level.OK
    assert after["rejected"].level is after["poison"].level is Level.WARN
    assert after["rejected"].detail == "2 messages in an hour, last: bad signature"
    assert after["poison"].detail == "1 samples are kept from workers"


def test_each_kind_of_refusal_has_a_remedy_of_its_own(rig: Rig):
    rig.execute(
        "INSERT INTO rejected_report (kind, reason, body, size_bytes)"
        " VALUES ('forged_signature', 'old', '', 0),"
        " ('forged_signature', 'new', '', 0), ('unknown_worker', 'beta', '', 0)"
    )

    found = [
        finding
        for finding in diagnose(rig.database, lease=LEASE)
        if finding.what == "rejected"
    ]

    assert [finding.detail for finding in found] == [
        "2 messages in an hour, last: new",
        "1 messages in an hour, last: beta",
    ]
    assert "ASSAY_WORKER_SECRET" in (found[0].remedy or "")
    assert "assay worker register NAME" in (found[1].remedy or "")


def test_a_backlog_that_nobody_dispatches_is_bad_and_names_the_process(rig: Rig):
    rig.worker("alpha")
    rig.job()
    rig.execute("UPDATE stream SET dispatched_at = now() - interval '1 minute'")

    found = examine(rig)

    assert found["backlog"].level is Level.FAIL
    assert "alpha" in found["backlog"].detail
    assert found["dispatchers"].level is Level.FAIL
    assert found["dispatchers"].remedy == "start one: assay dispatch"


def test_a_process_that_is_connected_is_seen(rig: Rig):
    with rig.database.raw_connection(application_name="assay dispatcher"):
        assert examine(rig)["dispatchers"].detail == "1 connected"


def test_a_clock_that_jumped_is_told_until_the_correction_has_worn_off(rig: Rig):
    assert examine(rig)["time"].level is Level.OK
    rig.execute(
        "UPDATE service_clock SET epoch = 1, jump = '-60 seconds',"
        " correction = '60 seconds', made_at = now() - interval '1000 seconds'"
    )

    found = examine(rig)["time"]

    assert found.level is Level.WARN
    assert "jumped -60 s" in found.detail
    assert "50 s ahead of it" in found.detail
    # Of another epoch: in one, time does not go back by all that is worn off at once.
    rig.execute(
        "UPDATE service_clock SET epoch = 2, made_at = now() - interval '6000 seconds'"
    )
    assert examine(rig)["time"].level is Level.OK
