"""A replica whose samples are where they must not be, or do not come."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from orchestrator.contracts.assignment import AssignedSample, Assignment, Where
from tests.fixtures.hostile_server import HostileServer, dripping
from tests.fixtures.replica import ACTOR, Stage, stage
from tests.fixtures.waiting import eventually

CONTENT = b"sample"
SIZE = b"content-length: %d\r\n\r\n" % len(CONTENT)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as scene:
        yield scene


def assign(
    scene: Stage,
    kind: Literal["http", "path", "url"],
    value: str,
    *,
    seconds: float = 30.0,
) -> Assignment:
    where = Where(kind=kind, value=value)
    sample = AssignedSample(
        sha256=hashlib.sha256(CONTENT).hexdigest(), size=len(CONTENT), where=where
    )
    return scene.desk.assign(
        "actor", sample=sample, options={"give": None}, timeout_seconds=seconds
    )


@pytest.mark.parametrize(
    ("kind", "value", "setting"),
    [
        ("path", "{folder}/shared", "ASSAY_SAMPLE_ROOT"),
        ("url", "{url}/internal/it", "ASSAY_SAMPLE_HOSTS"),
        ("http", "@elsewhere.example/internal/it", "ASSAY_API_URL"),
    ],
)
def test_what_a_replica_may_not_read_goes_back_free_and_says_what_to_set(
    scene: Stage,
    tmp_path: Path,
    kind: Literal["http", "path", "url"],
    value: str,
    setting: str,
):
    """No sample pays for the settings of a replica."""
    (tmp_path / "shared").write_bytes(CONTENT)
    scene.run(ACTOR)

    value = value.format(folder=tmp_path, url=scene.store.url)
    report = scene.desk.end_of(assign(scene, kind, value))

    assert (report.kind, report.reason) == ("released", None)
    assert setting in (report.message or "")
    assert scene.store.tokens == []


def test_what_a_replica_was_given_it_reads(scene: Stage, tmp_path: Path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "shared").write_bytes(CONTENT)
    scene.store.samples["/it"] = CONTENT
    scene.run(
        ACTOR,
        ASSAY_SAMPLE_ROOT=f"/nowhere:{tmp_path}/store",
        ASSAY_SAMPLE_HOSTS=f"bucket.example, {scene.store.url.removeprefix('http://')}",
    )

    of_path = assign(scene, "path", f"{tmp_path}/store/shared")
    of_url = assign(scene, "url", f"{scene.store.url}/it")

    assert scene.desk.end_of(of_path).kind == "success"
    assert scene.desk.end_of(of_url).kind == "success"


def test_after_three_troubles_in_a_row_it_steps_aside_and_works_again(scene: Stage):
    replica = scene.run(ACTOR, ASSAY_WORKER_SLOTS="1")
    begun = time.monotonic()

    for _ in range(3):
        assert scene.desk.end_of(assign(scene, "path", "/etc/passwd")).kind == (
            "released"
        )
    next_one = scene.desk.assign("actor", options={"give": None})

    assert scene.desk.end_of(next_one).kind == "success"
    assert time.monotonic() - begun >= 1
    assert '"aside_seconds": 1.0' in replica.log.read_text()


def test_an_api_that_lets_nobody_in_costs_no_sample_an_attempt(scene: Stage):
    scene.run(ACTOR)
    scene.store.locked = True

    report = scene.desk.end_of(scene.desk.assign("actor", options={"give": None}))

    assert (report.kind, report.reason) == ("released", None)
    assert "the API answered 401" in (report.message or "")
    scene.store.locked = False
    again = scene.desk.assign("actor", options={"give": None})
    assert scene.desk.end_of(again).kind == "success"


def test_a_folder_that_vanished_costs_no_sample_an_attempt(
    scene: Stage, tmp_path: Path
):
    """As a cleaner of temporary files does it, which knows nothing of replicas."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    scene.run(ACTOR, TMPDIR=str(scratch), ASSAY_WORKER_SLOTS="1")
    assert scene.desk.end_of(
        scene.desk.assign("actor", options={"give": None})
    ).kind == ("success")
    for folder in scratch.iterdir():
        shutil.rmtree(folder)

    kinds = [
        scene.desk.end_of(scene.desk.assign("actor", options={"give": None})).kind
        for _ in range(3)
    ]

    assert set(kinds) <= {"released", "success"}


@pytest.fixture
def trickle() -> Iterator[HostileServer]:
    server = HostileServer(
        dripping(b"HTTP/1.1 200 OK\r\nx: " + b"x" * 500 + b"\r\n" + SIZE)
    )
    yield server
    server.close()


def test_the_run_time_holds_while_the_sample_comes(
    scene: Stage, trickle: HostileServer
):
    scene.run(ACTOR, ASSAY_API_URL=trickle.url)
    begun = time.monotonic()

    report = scene.desk.end_of(assign(scene, "http", "/internal/it", seconds=1))

    assert report.kind == "timed_out"
    assert time.monotonic() - begun < 15


def test_a_stop_holds_while_the_sample_comes(scene: Stage, trickle: HostileServer):
    scene.run(ACTOR, ASSAY_API_URL=trickle.url, ASSAY_WORKER_SLOTS="1")
    coming = assign(scene, "http", "/internal/it")
    name = scene.desk.wait_for_state(coming, "running").replica

    eventually(lambda: trickle.heads)
    scene.desk.stop(name, coming)

    eventually(lambda: scene.desk.heartbeats()[-1].holds == ())
    # The slot is free again.
    released = scene.desk.end_of(assign(scene, "path", "/etc/passwd"))
    assert released.kind == "released"
    assert {report.kind for report in scene.desk.reports(coming)} <= {"executing"}


def test_it_leaves_in_time_while_the_sample_comes(scene: Stage, trickle: HostileServer):
    replica = scene.run(ACTOR, ASSAY_API_URL=trickle.url, ASSAY_STOP_GRACE_SECONDS="0")
    coming = assign(scene, "http", "/internal/it")
    scene.desk.wait_for_state(coming, "running")
    begun = time.monotonic()

    assert replica.terminate() == 0

    assert time.monotonic() - begun < 5
    assert scene.desk.end_of(coming).kind == "released"
