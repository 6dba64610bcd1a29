"""
A replica whose scratch folder is full, or gone, or whose API is away: no sample pays,
it says why, gives back what waits, takes nothing, and comes back by itself.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.contracts.assignment import Assignment
from tests.fixtures.replica import Stage, stage
from tests.fixtures.tmpfs import small_folder
from tests.fixtures.waiting import eventually

#: Writes as many bytes as its option says.
SOURCE = """
from pathlib import Path
from workers import Analysis, Sample, analyzer

@analyzer("actor", version="7")
def actor(sample: Sample) -> Analysis:
    Path("work.bin").write_bytes(b"x" * sample.options["bytes"])
    return Analysis(score=1)
"""


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as scene:
        yield scene


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder that holds 8 MiB."""
    with small_folder(tmp_path / "small", megabytes=8) as folder:
        yield folder


def assign(scene: Stage, *, written: int = 0) -> Assignment:
    return scene.desk.assign("actor", options={"bytes": written})


def have_three_troubles(scene: Stage, *, written: int = 0) -> str:
    """Return what the last of them said; each went back free."""
    said = ""
    for _ in range(3):
        report = scene.desk.end_of(assign(scene, written=written))
        assert (report.kind, report.reason) == ("released", None), report.message
        said = report.message or ""
    return said


def why(scene: Stage) -> str | None:
    """Return what the last heartbeat says."""
    return scene.desk.heartbeats()[-1].aside


def waiting(scene: Stage) -> int:
    return scene.redis.client.llen("worker.actor")


def require_aside_until(scene: Stage, mend: Callable[[], object], *, says: str) -> None:
    """It takes nothing while it stands aside, and works when *mend* was called."""
    eventually(lambda: says in (why(scene) or ""))
    # Whatever it took just before it shut the door it gives back.
    kept = [assign(scene) for _ in range(4)]
    eventually(lambda: waiting(scene) + len(ends(scene, kept)) == len(kept))
    assert set(ends(scene, kept)) <= {"released"}
    assert waiting(scene) > 0
    eventually(lambda: scene.desk.heartbeats()[-1].holds == ())

    mend()

    eventually(lambda: why(scene) is None)
    assert scene.desk.end_of(assign(scene)).kind == "success"


def ends(scene: Stage, assignments: list[Assignment]) -> list[str]:
    return [
        report.kind
        for assignment in assignments
        for report in scene.desk.reports(assignment)
        if report.kind != "executing"
    ]


def fill(folder: Path, *, but: int = 0) -> Path:
    """Leave *but* bytes of room in it."""
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as out:
        while out.write(b"x" * 65_536):
            pass
    with filler.open("r+b") as out:
        out.truncate(filler.stat().st_size - but)
    return filler


def test_a_full_scratch_is_the_replicas_trouble(scene: Stage, small: Path):
    scene.run(SOURCE, TMPDIR=str(small), ASSAY_WORKER_SLOTS="2")
    assert scene.desk.end_of(assign(scene)).kind == "success"
    filler = fill(small)

    said = have_three_troubles(scene)

    assert str(small) in said
    assert "No space left on device; make room there, or set TMPDIR" in said
    require_aside_until(scene, filler.unlink, says="No space left")


def test_a_scratch_that_an_analysis_finds_full_is_the_replicas_trouble(
    scene: Stage, small: Path
):
    scene.run(SOURCE, TMPDIR=str(small), ASSAY_WORKER_SLOTS="1")
    assert scene.desk.end_of(assign(scene)).kind == "success"
    filler = fill(small, but=300_000)

    have_three_troubles(scene, written=2_000_000)

    require_aside_until(scene, filler.unlink, says="No space left")


def test_an_analysis_that_fills_the_scratch_itself_pays_for_it(
    scene: Stage, small: Path
):
    scene.run(SOURCE, TMPDIR=str(small), ASSAY_WORKER_SLOTS="1")

    report = scene.desk.end_of(assign(scene, written=64_000_000))

    assert (report.kind, report.reason) == ("failed", "error")
    assert "No space left" in (report.message or "")


def test_a_scratch_that_was_removed_is_made_again(scene: Stage, tmp_path: Path):
    """As a cleaner of temporary files does it, which knows nothing of replicas."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    scene.run(SOURCE, TMPDIR=str(scratch), ASSAY_WORKER_SLOTS="1")
    assert scene.desk.end_of(assign(scene, written=9)).kind == "success"
    for folder in scratch.iterdir():
        shutil.rmtree(folder)

    for _ in range(2):
        assert scene.desk.end_of(assign(scene, written=9)).kind == "success"

    assert why(scene) is None


def test_an_api_that_is_away_is_asked_until_it_answers(scene: Stage):
    scene.run(SOURCE, ASSAY_WORKER_SLOTS="1")
    scene.store.locked = scene.store.is_away = True

    have_three_troubles(scene)

    def mend() -> None:
        scene.store.locked = scene.store.is_away = False

    require_aside_until(scene, mend, says="the API does not answer")


def test_a_replica_that_stands_aside_stops_in_time(scene: Stage, small: Path):
    replica = scene.run(SOURCE, TMPDIR=str(small))
    assert scene.desk.end_of(assign(scene)).kind == "success"
    fill(small)
    have_three_troubles(scene)
    eventually(lambda: why(scene) is not None)

    assert replica.terminate() == 0

    assert scene.desk.heartbeats()[-1].leaving
