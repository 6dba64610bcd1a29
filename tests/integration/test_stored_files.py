"""
Bytes that an attempt stored go when nothing names them, and not before.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest

from orchestrator.catalog.attempt_files import reserve_file
from orchestrator.db.stored_files import StoredFile
from orchestrator.domain.limits import Limits
from orchestrator.flow.sweep import sweep_files
from orchestrator.store import SampleStore
from tests.fixtures.engine import Rig

DAY = 86_400.0
#: When it is looked whether anything names what was stored.
LOOKED_AT = 2 * DAY + 60


@pytest.fixture
def store(tmp_path: Path) -> SampleStore:
    return SampleStore.from_url(str(tmp_path / "store"))


@pytest.fixture
def job(rig: Rig) -> UUID:
    rig.worker("alpha")
    return rig.job()


def keep(rig: Rig, store: SampleStore, job: UUID, content: bytes, *, n: int = 1) -> str:
    """Do what the API does for an upload of attempt *n*; return the SHA-256."""
    task = rig.task(job)
    received = store.receive([content], limit_bytes=2**20)
    file = StoredFile(
        task_id=task.id,
        attempt=n,
        sha256=received.digests.sha256,
        size_bytes=len(content),
        sample_sha256=sha256(b"hello").hexdigest(),
    )
    with rig.database.uow() as tx:
        reserve_file(tx, file, limits=Limits())
    store.keep(received)
    return file.sha256


def age(rig: Rig, store: SampleStore, seconds: float = LOOKED_AT) -> None:
    rig.age(seconds)
    for (found,) in rig.execute("SELECT sha256 FROM stored_file"):
        path = store.path(found)
        assert path is not None
        written = path.stat().st_mtime - seconds
        os.utime(path, (written, written))


def is_here(store: SampleStore, digest: str) -> bool:
    return store.size(digest) is not None


def test_what_no_report_names_goes_after_its_time(rig, store, job):
    digest = keep(rig, store, job, b"nobody's")
    age(rig, store, LOOKED_AT - 120)
    sweep_files(rig.database, store)
    assert is_here(store, digest)

    age(rig, store, 120)
    assert sweep_files(rig.database, store) == 1

    assert not is_here(store, digest)
    assert rig.execute("SELECT 1 FROM stored_file") == []


names_it = pytest.mark.parametrize(
    "named",
    [
        "UPDATE analysis SET result_ref = :d",
        """UPDATE analysis SET files =
             jsonb_build_array(jsonb_build_object('sha256', CAST(:d AS text)))""",
    ],
    ids=["a result", "a child"],
)


@names_it
def test_what_an_analysis_names_stays_as_long_as_the_analysis(rig, store, job, named):
    rig.dispatch()
    rig.tell(rig.task(job), "success")
    digest = keep(rig, store, job, b"found inside")
    rig.execute(named, d=digest)
    age(rig, store)
    assert sweep_files(rig.database, store) == 0
    assert is_here(store, digest)

    rig.execute("UPDATE analysis SET result_ref = NULL, files = '[]'")
    age(rig, store, 31 * DAY)
    sweep_files(rig.database, store)

    assert not is_here(store, digest)


@names_it
def test_what_an_analysis_of_another_sample_names_stays_as_long(rig, store, job, named):
    """The same file is carved out of many samples, and this one has no row for it."""
    rig.dispatch()
    rig.tell(rig.task(job), "success")
    digest = keep(rig, store, job, b"found inside")
    rig.execute("UPDATE stored_file SET sample_sha256 = repeat('0', 64)")
    rig.execute(named, d=digest)
    age(rig, store)
    sweep_files(rig.database, store)
    assert is_here(store, digest)

    rig.execute("UPDATE analysis SET result_ref = NULL, files = '[]'")
    age(rig, store, 31 * DAY)
    sweep_files(rig.database, store)

    assert not is_here(store, digest)


def test_what_an_unread_report_may_name_stays(rig, store, job):
    """It may wait for a consumer that is away longer than anything is kept."""
    digest = keep(rig, store, job, b"to be named")
    age(rig, store)
    rig.execute("UPDATE stream SET watermark_at = now() - interval '3 days'")

    assert sweep_files(rig.database, store) == 0

    assert is_here(store, digest)


def test_what_is_a_sample_too_stays(rig, store, job):
    digest = keep(rig, store, job, b"hello")
    age(rig, store)

    sweep_files(rig.database, store)

    assert is_here(store, digest)


def test_what_another_attempt_has_stored_stays(rig, store, job):
    digest = keep(rig, store, job, b"twice")
    age(rig, store, DAY)
    keep(rig, store, job, b"twice", n=2)
    age(rig, store, LOOKED_AT - DAY)

    assert sweep_files(rig.database, store) == 1

    assert is_here(store, digest)


def test_what_somebody_has_just_written_again_stays(rig, store, job):
    """Its row may be about to be committed: an upload writes bytes first."""
    digest = keep(rig, store, job, b"again")
    age(rig, store)
    store.keep(store.receive([b"again"], limit_bytes=2**20))

    sweep_files(rig.database, store)

    assert is_here(store, digest)
