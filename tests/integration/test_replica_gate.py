"""
A replica obeys what the orchestrator signed, and works while it is enrolled.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from orchestrator.contracts.assignment import celery_id, celery_task_name
from orchestrator.contracts.signature import assignment_signature, attempt_proof
from orchestrator.contracts.wire import SIGNATURE_HEADER, TOKEN_HEADER
from tests.fixtures.replica import ACTOR, SECRET, Stage, stage
from tests.fixtures.waiting import eventually


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as scene:
        yield scene


@pytest.fixture(scope="module")
def actor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("actor")) as actor:
        actor.run(ACTOR)
        yield actor


def parts(actor: Stage) -> tuple[bytes, dict[str, Any]]:
    """Return the body and the headers of an assignment that would be done."""
    assignment = actor.desk.assign("actor", options={"sleep": 0})
    actor.desk.end_of(assignment)
    fresh = assignment.model_copy(update={"task_id": uuid4()})
    body = json.dumps([[], {"assignment": fresh.model_dump(mode="json")}, {}]).encode()
    return body, headers(celery_id(fresh.task_id, 1), body)


def headers(task_id: str, body: bytes, *, secret: str = SECRET) -> dict[str, Any]:
    token = "a token"
    return {
        "lang": "py",
        "task": celery_task_name("actor"),
        "id": task_id,
        TOKEN_HEADER: token,
        SIGNATURE_HEADER: assignment_signature(
            secret, celery_id=task_id, token=token, body=body
        ),
    }


def test_nothing_is_obeyed_that_is_not_signed_to_the_letter(actor: Stage):
    body, good = parts(actor)
    other = f"{uuid4()}.1"
    wrong: list[tuple[bytes, dict[str, Any]]] = [
        (body, {name: good[name] for name in good if name != SIGNATURE_HEADER}),
        (body, {**good, SIGNATURE_HEADER: ""}),
        (body, {**good, SIGNATURE_HEADER: [good[SIGNATURE_HEADER]]}),
        (body, {**good, SIGNATURE_HEADER: "\ud800" * 64}),
        (body, headers(good["id"], body, secret="another")),
        (body, {**good, "id": other}),
        (body, {**good, TOKEN_HEADER: "another"}),
        (body, {**good, "task": "celery.chain"}),
        (body, {**good, "task": "assay.analyze.other"}),
        (body.replace(b'"sleep": 0', b'"sleep": 1'), good),
        (body + b" ", good),
        (b"", good),
    ]
    before = len(actor.desk.reports())
    for spoilt, named in wrong:
        actor.desk.send_bytes("actor", spoilt, named)

    last = actor.desk.assign("actor", options={"sleep": 0})

    assert actor.desk.end_of(last).kind == "success"
    assert {report.task_id for report in actor.desk.reports()[before:]} == {
        last.task_id
    }
    log = actor.replicas[0].log.read_text()
    assert "not signed with this worker's secret" in log
    # Alike in their fault, they are one line a minute.
    assert 1 <= log.count("message.discarded") < len(wrong)


def test_what_no_one_signed_neither_delays_nor_ends_an_attempt(actor: Stage):
    body, good = parts(actor)
    unsigned = {
        "eta": "2999-01-01T00:00:00+00:00",
        "expires": "2000-01-01T00:00:00+00:00",
        "timelimit": [0.001, 0.001],
        "retries": 99,
        "group": "g",
        "reply_to": "x",
    }

    actor.desk.send_bytes("actor", body, {**good, **unsigned})

    task_id = good["id"].rpartition(".")[0]
    eventually(
        lambda: (
            [
                report.kind
                for report in actor.desk.reports()
                if str(report.task_id) == task_id
            ]
            == ["success"]
        )
    )


def test_reports_are_signed_and_the_sample_is_asked_for_with_a_proof(actor: Stage):
    assignment = actor.desk.assign("actor", options={"sleep": 0})

    report = actor.desk.end_of(assignment)

    letters = [
        letter for letter in actor.desk.letters if letter.content["type"] == "report"
    ]
    assert all(actor.desk.signed(letter) for letter in letters)
    assert actor.store.proofs[-1] == attempt_proof(SECRET, report.token)


def test_a_stop_that_is_not_signed_stops_nothing(actor: Stage):
    assignment = actor.desk.assign("actor", options={"sleep": 1})
    replica = actor.desk.wait_for_state(assignment, "running").replica

    actor.desk.stop(replica, assignment, secret="another")

    assert actor.desk.end_of(assignment).kind == "success"


@pytest.mark.parametrize("refusal", [401, 412])
def test_a_replica_that_is_refused_binds_nothing_until_it_is_not(
    scene: Stage, refusal: int
):
    scene.store.refuses, scene.store.refusal = True, refusal
    replica = scene.start(ACTOR)
    eventually(lambda: scene.store.asked >= 3)
    waiting = scene.desk.assign("actor", options={"sleep": 0})

    assert scene.desk.read() == []
    assert scene.redis.client.keys("*") == [b"worker.actor"]
    assert scene.redis.client.pubsub_channels() == []
    assert "enrolment.refused" in replica.log.read_text()

    scene.store.refuses = False
    assert scene.desk.end_of(waiting).kind == "success"


def test_a_replica_says_how_far_its_clock_is_from_the_apis(scene: Stage):
    scene.store.ahead = 3_600
    scene.run(ACTOR)

    (heartbeat, *_) = scene.desk.heartbeats()
    assert heartbeat.skew_seconds is not None
    assert -3_600 <= heartbeat.skew_seconds < -3_500


def test_a_replica_that_is_refused_ends_when_it_is_told(scene: Stage):
    scene.store.refuses = True
    replica = scene.start(ACTOR)
    eventually(lambda: scene.store.asked >= 1)

    assert replica.terminate() == 0


def test_a_replica_whose_enrolment_ends_takes_nothing_more(scene: Stage):
    replica = scene.run(ACTOR)
    scene.desk.end_of(scene.desk.assign("actor", options={"sleep": 0}))

    scene.store.refuses = True
    eventually(lambda: "enrolment.refused" in replica.log.read_text())
    eventually(lambda: not _takes(scene))
    waiting = scene.desk.assign("actor", options={"sleep": 0})
    asked = scene.store.asked
    eventually(lambda: scene.store.asked > asked + 2)

    assert scene.redis.client.llen("worker.actor") == 1
    scene.store.refuses = False
    assert scene.desk.end_of(waiting).kind == "success"


def _takes(scene: Stage) -> bool:
    """Whether somebody waits at the worker's queue."""
    return any(
        client["cmd"] == "blmpop" and "b" in client["flags"]
        for client in scene.redis.client.client_list()
    )
