from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from workers.replica.sources import Host, RefusedSourceError, Sources, check_api_path

CONTENT = b"a sample"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "store"
    (root / "sha256" / "ab").mkdir(parents=True)
    (root / "sha256" / "ab" / "sample").write_bytes(CONTENT)
    (tmp_path / "secret").write_bytes(b"of the replica")
    return root


def read(root: Path, value: str) -> bytes:
    with Sources(roots=(root,)).open(value) as file:
        return file.read()


def test_a_file_below_the_root_is_read(root: Path):
    assert read(root, f"{root}/sha256/ab/sample") == CONTENT


def test_each_of_several_roots_is_a_root(root: Path, tmp_path: Path):
    with Sources(roots=(tmp_path / "none", root)).open(f"{root}/sha256/ab/sample") as f:
        assert f.read() == CONTENT


def test_a_root_that_is_a_link_and_links_that_stay_below_it_are_followed(
    root: Path, tmp_path: Path
):
    (tmp_path / "mount").symlink_to(root)
    (root / "latest").symlink_to("sha256/ab")

    assert read(tmp_path / "mount", f"{tmp_path}/mount/latest/sample") == CONTENT


def test_without_a_root_no_path_is_opened(root: Path):
    with pytest.raises(RefusedSourceError, match="set ASSAY_SAMPLE_ROOT"):
        Sources().open(f"{root}/sha256/ab/sample")


@pytest.mark.parametrize(
    "value",
    [
        "{outside}/secret",
        "{root}/../secret",
        "{root}/sha256/../../secret",
        "{root}",
        "{root}/",
        "{root}x/secret",
        "/etc/passwd",
        "/proc/self/environ",
        "secret",
        "",
        "{root}/sha256/ab/sample\0",
        "{root}/\ud800",
        "{root}/to_secret",
        "{root}/to_outside/secret",
        "{root}/chain",
    ],
)
def test_nothing_outside_of_the_root_is_opened(root: Path, tmp_path: Path, value: str):
    (tmp_path / "storex").mkdir()
    (tmp_path / "storex" / "secret").write_bytes(b"next door")
    (root / "to_secret").symlink_to(tmp_path / "secret")
    (root / "to_outside").symlink_to("..")
    (root / "chain").symlink_to("to_secret")

    with pytest.raises(RefusedSourceError, match=r"where\.value"):
        read(root, value.format(root=root, outside=tmp_path))


def test_what_is_no_regular_file_is_neither_read_nor_waited_for(root: Path):
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
        (root / "null").symlink_to("/dev/null")

        for name in ("fifo", "socket", "sha256", "null"):
            with pytest.raises((RefusedSourceError, OSError)):
                read(root, f"{root}/{name}")


def test_a_device_below_the_root_is_refused():
    with pytest.raises(RefusedSourceError, match="no regular file"):
        Sources(roots=(Path("/dev"),)).open("/dev/zero")


def test_what_is_not_there_is_missing_and_not_refused(root: Path):
    with pytest.raises(FileNotFoundError):
        read(root, f"{root}/sha256/ab/none")


HOSTS = Sources(hosts=(Host("bucket.example"), Host("minio", 9000), Host("::1", 80)))


@pytest.mark.parametrize(
    "url",
    [
        "https://bucket.example/a?X-Signature=1",
        "http://BUCKET.example:8080/a",
        "http://minio:9000/a",
        "http://[::1]/a",
    ],
)
def test_a_url_of_a_named_host_is_asked(url: str):
    assert HOSTS.check_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example/a",
        "http://minio/a",
        "http://minio:9001/a",
        "https://[::1]/a",
        "http://bucket.example@elsewhere.example/a",
        "http://user@bucket.example/a",
        "http://elsewhere.example\\@bucket.example/a",
        "http://sub.bucket.example/a",
        "http://bucket.example.elsewhere.example/a",
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:8000/internal",
        "ftp://bucket.example/a",
        "file:///etc/passwd",
        "//bucket.example/a",
        "bucket.example/a",
        "",
        "http://",
        "http://bucket.example:x/",
        "http://\ud800/",
        "http://bucket.example/" + "a" * 100_000,
    ],
)
def test_no_other_url_is(url: str):
    with pytest.raises(RefusedSourceError, match=r"where\.value"):
        HOSTS.check_url(url)


def test_a_refused_url_names_the_setting_and_not_its_signature():
    with pytest.raises(RefusedSourceError, match="ASSAY_SAMPLE_HOSTS") as caught:
        Sources().check_url("https://bucket.example/a?X-Signature=s3cret")

    assert "bucket.example" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_the_apis_own_path_is_asked():
    path = "/internal/task/01999999-0000-7000-8000-000000000000/1/sample"

    assert check_api_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "/internal",
        "/internal/",
        "/internal//elsewhere.example/a",
        "//elsewhere.example/internal/a",
        "@elsewhere.example/internal/a",
        ".elsewhere.example/internal/a",
        ":80@elsewhere.example/internal/a",
        "/internal/../sampledb/v2/key",
        "/internal/./a",
        "/internal/a?b=c",
        "/internal/a#b",
        "/internal/%2e%2e/a",
        "/internal/a\\b",
        "/internal/a\n",
        "/internal/a\r\nassay-token: x",
        "/internalx/a",
        "/sampledb/v2/job",
        "http://elsewhere.example/internal/a",
        "",
    ],
)
def test_no_other_path_gets_the_token(path: str):
    with pytest.raises(RefusedSourceError, match="/internal/"):
        check_api_path(path)
