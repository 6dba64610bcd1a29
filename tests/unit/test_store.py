"""
The sample store in a folder: nothing half, nothing open to others, nothing left over.
"""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread
from urllib.parse import quote

import pytest

from orchestrator.domain.errors import (
    ConfigurationError,
    SampleMissingError,
    SampleTooLargeError,
    StoreUnavailableError,
)
from orchestrator.store import Received, SampleStore

MIB = 1024 * 1024
_HOUR = timedelta(hours=1)
_NOTHING = timedelta()

_HALF_AN_UPLOAD = """
import sys, time
from orchestrator.store import SampleStore

def chunks():
    yield b"x" * 20_000_000
    print("half", flush=True)
    time.sleep(60)

SampleStore.from_url(sys.argv[1]).receive(chunks(), limit_bytes=10**9)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "samples"


@pytest.fixture
def store(root: Path) -> SampleStore:
    return SampleStore.from_url(str(root))


def _receive(store: SampleStore, content: bytes) -> Received:
    return store.receive(iter([content]), limit_bytes=MIB)


def _files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def _now() -> datetime:
    return datetime.fromtimestamp(time.clock_gettime(time.CLOCK_REALTIME), UTC)


def test_what_is_kept_is_read_again(store: SampleStore):
    received = store.receive(iter([b"ab", b"", b"c"]), limit_bytes=3)

    store.keep(received)

    digests = received.digests
    assert b"".join(store.open(digests.sha256)) == b"abc"
    assert store.size(digests.sha256) == digests.size == 3
    for name in ("sha256", "sha512", "sha1", "md5"):
        assert getattr(digests, name) == hashlib.new(name, b"abc").hexdigest()


def test_an_empty_sample_is_one(store: SampleStore):
    received = store.receive(iter([]), limit_bytes=0)

    store.keep(received)

    assert list(store.open(received.digests.sha256)) == []
    assert store.size(received.digests.sha256) == 0


def test_above_the_limit_nothing_stays(store: SampleStore, root: Path):
    with pytest.raises(SampleTooLargeError):
        store.receive(iter([b"12", b"34"]), limit_bytes=3)

    assert _files(root) == []


def test_a_sender_that_fails_leaves_nothing(store: SampleStore, root: Path):
    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        store.receive(chunks(), limit_bytes=MIB)

    assert _files(root) == []


def test_a_sender_that_can_not_read_is_no_fault_of_the_store(store: SampleStore):
    def chunks() -> Iterator[bytes]:
        yield b"ab"
        raise PermissionError

    with pytest.raises(PermissionError):
        store.receive(chunks(), limit_bytes=MIB)


@pytest.mark.parametrize("place_stays", [False, True])
def test_a_folder_that_is_not_there_now_is_away_and_not_empty(
    store: SampleStore, root: Path, *, place_stays: bool
):
    received = _receive(store, b"kept")
    store.keep(received)
    root.rename(root.with_name("unmounted"))
    if place_stays:
        root.mkdir()
    sha256 = received.digests.sha256

    for act in (
        lambda: _receive(store, b"new"),
        lambda: list(store.open(sha256)),
        lambda: store.size(sha256),
        lambda: store.read_range(sha256, offset=0, length=1),
        lambda: store.delete_older([sha256], older_than=timedelta()),
        lambda: store.sweep(older_than=timedelta()),
    ):
        with pytest.raises(StoreUnavailableError):
            act()


def test_a_large_sample_is_never_whole_in_memory(store: SampleStore):
    tracemalloc.start()
    try:
        received = store.receive(
            (bytes([number]) * MIB for number in range(64)), limit_bytes=64 * MIB
        )
        store.keep(received)
        read = sum(len(chunk) for chunk in store.open(received.digests.sha256))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert read == 64 * MIB
    assert peak < 16 * MIB


@pytest.mark.parametrize("umask", [0, 0o777])
def test_only_this_user_can_read_it_under_any_umask(root: Path, umask: int):
    before = os.umask(umask)
    try:
        store = SampleStore.from_url(str(root))
        staged = _receive(store, b"secret")
        modes = _modes(root)
        store.keep(staged)
    finally:
        os.umask(before)

    assert modes | _modes(root) == {("folder", 0o700), ("file", 0o600)}


def _modes(root: Path) -> set[tuple[str, int]]:
    return {
        ("folder" if path.is_dir() else "file", stat.S_IMODE(path.stat().st_mode))
        for path in (root, *root.rglob("*"))
    }


def test_keeping_again_changes_nothing(store: SampleStore, root: Path):
    received = _receive(store, b"once")

    store.keep(received)
    store.keep(received)
    store.discard(received)

    assert len(_files(root)) == 1
    assert b"".join(store.open(received.digests.sha256)) == b"once"


def test_what_was_swept_can_not_be_kept(store: SampleStore):
    received = _receive(store, b"late")
    store.discard(received)

    with pytest.raises(SampleMissingError):
        store.keep(received)


def test_the_same_bytes_at_once_are_one_sample(store: SampleStore, root: Path):
    barrier = Barrier(8)
    kept: list[str] = []

    def upload() -> None:
        received = _receive(store, b"same" * 1000)
        barrier.wait()
        store.keep(received)
        kept.append(received.digests.sha256)

    threads = [Thread(target=upload) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(kept) == 8
    assert len(set(kept)) == 1
    assert len(_files(root)) == 1


def test_bytes_that_are_not_here_say_so(store: SampleStore):
    with pytest.raises(SampleMissingError):
        list(store.open("0" * 64))

    assert store.size("0" * 64) is None
    store.delete("0" * 64)


def test_deleted_bytes_are_gone(store: SampleStore):
    received = _receive(store, b"away")
    store.keep(received)

    store.delete(received.digests.sha256)

    assert store.size(received.digests.sha256) is None


def test_an_upload_cut_by_a_kill_is_swept_and_no_other(store: SampleStore, root: Path):
    cut = subprocess.Popen(
        [
            sys.executable,
            "-c",
            _HALF_AN_UPLOAD,
            str(root),
        ],
        stdout=subprocess.PIPE,
    )
    with cut:
        assert cut.stdout is not None
        cut.stdout.readline()
        cut.kill()
    (left,) = _files(root)
    os.utime(left, (0, 0))
    running = _receive(store, b"in time")

    swept = store.sweep(older_than=_HOUR)

    assert swept == 1
    store.keep(running)
    assert b"".join(store.open(running.digests.sha256)) == b"in time"
    assert store.sweep(older_than=_NOTHING) == 0


def test_bytes_that_can_not_be_deleted_are_an_error(store: SampleStore, root: Path):
    (root / "sha256/00/00" / ("0" * 64)).mkdir(parents=True)

    with pytest.raises(StoreUnavailableError):
        store.delete("0" * 64)


@pytest.mark.parametrize(
    "name", ["../../secret", "", "0" * 63, "A" * 64, "/" + "0" * 63, "0" * 64 + "\n"]
)
def test_no_name_leads_out_of_the_folder(store: SampleStore, name: str):
    with pytest.raises(ValueError, match="SHA-256"):
        store.path(name)
    with pytest.raises(ValueError, match="SHA-256"):
        store.delete(name)
    with pytest.raises(ValueError, match="SHA-256"):
        list(store.open(name))


@pytest.mark.parametrize("scheme", ["", "file://"])
@pytest.mark.parametrize("name", ["a b ü", "a%20b", "a#b", "a?b"])
def test_a_folder_may_have_any_name(tmp_path: Path, scheme: str, name: str):
    folder = tmp_path / name
    url = f"file://{quote(str(folder))}" if scheme else str(folder)

    store = SampleStore.from_url(url)
    received = _receive(store, b"x")
    store.keep(received)

    kept = store.path(received.digests.sha256)
    assert kept is not None
    assert kept.is_relative_to(folder)
    assert kept.read_bytes() == b"x"


@pytest.mark.parametrize(
    "url",
    [
        "sv3://x",
        "s3://",
        "http://h/x",
        "memory://",
        "file://host/x",
        "file://",
        "/proc/x",
    ],
)
def test_a_url_that_is_no_store_names_the_setting(url: str):
    with pytest.raises(
        ConfigurationError, match=r"ASSAY_SAMPLE_STORE: .+; give"
    ) as told:
        SampleStore.from_url(url)

    assert "\n" not in told.value.message


def test_a_file_is_no_store(tmp_path: Path):
    file = tmp_path / "file"
    file.touch()

    with pytest.raises(ConfigurationError):
        SampleStore.from_url(str(file))
