"""
Sample bytes, and whatever else is large: content-addressed, through obstore.

A folder by default; S3, GCS or Azure by URL. Bytes arrive under a staging name and get
their hash's name when they are whole, so that no name ever stands for half a sample.
It knows no database: a row is committed after its bytes are kept.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote, urlparse

import obstore
from obstore.exceptions import BaseError
from obstore.store import (
    AzureStore,
    GCSStore,
    LocalStore,
    ObjectStore,
    S3Store,
    from_url,
)
from uuid_utils.compat import uuid7

from orchestrator.domain.errors import (
    ConfigurationError,
    SampleMissingError,
    SampleTooLargeError,
)

#: Bytes from both ends that classification looks at: a ZIP's directory is at its end.
HEAD_BYTES = 8 * 1024
TAIL_BYTES = 64 * 1024

#: Bytes handed on at a time when reading.
CHUNK_BYTES = 1024 * 1024

_STAGING = "staging"
_KEPT = "sha256"
_SHA256 = re.compile(r"[0-9a-f]{64}")

_PRIVATE_FILE = 0o600
_PRIVATE_FOLDER = 0o700


@dataclass(frozen=True, kw_only=True, slots=True)
class Digests:
    """Lowercase hex digests and the size in bytes of what was received."""

    sha256: str
    sha512: str
    sha1: str
    md5: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What passed: its digests, and both ends of it."""

    digests: Digests
    head: bytes
    tail: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Received(Measured):
    """Bytes that have arrived whole, under a staging name."""

    staging: str


def measure(chunks: Iterable[bytes], *, limit_bytes: int) -> Measured:
    """
    Hash bytes as they come, and keep none of them but both ends.

    Raises:
        SampleTooLargeError: More than *limit_bytes* came.
    """
    intake = _Intake(limit_bytes)
    for chunk in chunks:
        intake.take(chunk)
    return intake.measured()


class _Writes(Protocol):
    """What takes bytes in."""

    def write(self, data: bytes, /) -> object: ...


class SampleStore:
    """
    Args:
        store: Any object store of obstore.
        root: Its folder, where it is one.
    """

    def __init__(self, store: ObjectStore, *, root: Path | None = None) -> None:
        self._store = store
        self._root = root

    @classmethod
    def from_url(cls, url: str) -> SampleStore:
        """
        Open a store: a folder's path, ``file:///``, ``s3://``, ``gs://`` or ``az://``.

        A folder is created, readable by this user alone. The others take their
        credentials from the environment, as their own tools do.

        Raises:
            ConfigurationError: It is none of these, or the folder can not be made.
        """
        try:
            scheme = urlparse(url).scheme
            if scheme in {"s3", "gs", "az"}:
                return cls(from_url(url))
            root = _root(url)
            _make_root(root)
            return cls(LocalStore(root), root=root)
        except (OSError, ValueError, BaseError) as error:
            # Their first line says it; what follows is their insides.
            reason = str(error).partition("\n")[0]
            raise ConfigurationError(
                f"ASSAY_SAMPLE_STORE: {reason}; give a folder that this user may write"
                " to, or s3://bucket, gs://bucket or az://container",
                field="ASSAY_SAMPLE_STORE",
            ) from None

    def receive(self, chunks: Iterable[bytes], *, limit_bytes: int) -> Received:
        """
        Take bytes in as they come, hashing them; never whole in memory.

        Raises:
            SampleTooLargeError: More than *limit_bytes* came; nothing is left behind.
        """
        staging = f"{_STAGING}/{uuid7()}"
        intake = _Intake(limit_bytes)
        try:
            with self._writer(staging) as writer:
                for chunk in chunks:
                    intake.take(chunk)
                    writer.write(chunk)
        except BaseException:
            self._forget(staging)
            raise
        return intake.received(staging)

    def keep(self, received: Received) -> None:
        """
        Make received bytes visible under their hash; again changes nothing.

        Raises:
            SampleMissingError: They were discarded or swept.
        """
        name = _name(received.digests.sha256)
        try:
            if self._root is None:
                obstore.rename(self._store, received.staging, name)
            else:
                _rename_durably(self._root / received.staging, self._root / name)
        except FileNotFoundError:
            if self.size(received.digests.sha256) != received.digests.size:
                raise SampleMissingError(
                    f"the bytes of {received.digests.sha256} are gone; send them again",
                    field="sha256",
                ) from None

    def discard(self, received: Received) -> None:
        """Forget received bytes that were not kept; harmless if they were."""
        self._forget(received.staging)

    def open(self, sha256: str) -> Iterator[bytes]:
        """
        Yield the bytes in chunks.

        Raises:
            SampleMissingError: They are not here.
        """
        try:
            found = obstore.get(self._store, _name(sha256))
        except FileNotFoundError:
            raise _missing(sha256) from None
        for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
            yield bytes(chunk)

    def read_range(self, sha256: str, *, offset: int, length: int) -> bytes:
        """
        Return *length* bytes from *offset* on.

        Raises:
            SampleMissingError: The bytes are not here.
        """
        name = _name(sha256)
        try:
            found = obstore.get_range(self._store, name, start=offset, length=length)
        except FileNotFoundError:
            raise _missing(sha256) from None
        return bytes(found)

    def size(self, sha256: str) -> int | None:
        """Return the size in bytes, ``None`` if the bytes are not here."""
        try:
            return int(obstore.head(self._store, _name(sha256))["size"])
        except FileNotFoundError:
            return None

    def path(self, sha256: str) -> Path | None:
        """Return the file that holds the bytes, where the store is a folder."""
        return None if self._root is None else self._root / _name(sha256)

    def url(self, sha256: str, *, seconds: int) -> str | None:
        """Return a URL signed for reading, where the store can."""
        if not isinstance(self._store, S3Store | GCSStore | AzureStore):
            return None
        lifetime = timedelta(seconds=seconds)
        return str(obstore.sign(self._store, "GET", _name(sha256), lifetime))

    def delete(self, sha256: str) -> None:
        """Remove bytes; harmless if they are not here, an error if they stay."""
        self._delete(_name(sha256))

    def sweep(self, *, before: datetime) -> int:
        """
        Remove staging bytes last written before *before*: uploads whose process died.

        Call it with a time longer ago than any sender may pause. Parts of an upload
        that an object store never saw end are not listed: its own rule for incomplete
        uploads removes them.

        Returns:
            How many were removed.
        """
        if self._root is not None:
            return _remove_older(self._root / _STAGING, before)
        removed = 0
        for page in obstore.list(self._store, prefix=_STAGING):
            for found in page:
                if found["last_modified"] < before:
                    self._delete(found["path"])
                    removed += 1
        return removed

    def _writer(self, name: str) -> AbstractContextManager[_Writes]:
        # A folder's files are written here: obstore makes them readable for everybody,
        # and leaves a temporary name behind that it does not list.
        if self._root is None:
            return obstore.open_writer(self._store, name)
        return _new_private_file(self._root / name)

    def _delete(self, name: str) -> None:
        with suppress(FileNotFoundError):
            obstore.delete(self._store, name)

    def _forget(self, name: str) -> None:
        # What stays behind is swept later; the caller's own error matters more.
        with suppress(OSError, BaseError):
            self._delete(name)


class _Intake:
    """Hashes what passes, and keeps both ends of it."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        # MD5 and SHA-1 are names that the field uses, not guarantees.
        self._hashes = {
            name: hashlib.new(name, usedforsecurity=False)
            for name in ("sha256", "sha512", "sha1", "md5")
        }
        self._size = 0
        self._head = b""
        self._tail = b""

    def take(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._limit_bytes:
            raise SampleTooLargeError(self._limit_bytes)
        for one in self._hashes.values():
            one.update(chunk)
        if len(self._head) < HEAD_BYTES:
            self._head = (self._head + chunk)[:HEAD_BYTES]
        self._tail = (self._tail + chunk[-TAIL_BYTES:])[-TAIL_BYTES:]

    def measured(self) -> Measured:
        digests = {name: one.hexdigest() for name, one in self._hashes.items()}
        return Measured(
            digests=Digests(size=self._size, **digests),
            head=self._head,
            tail=self._tail,
        )

    def received(self, staging: str) -> Received:
        whole = self.measured()
        return Received(
            digests=whole.digests, head=whole.head, tail=whole.tail, staging=staging
        )


def _missing(sha256: str) -> SampleMissingError:
    return SampleMissingError(
        f"the bytes of {sha256} are not in the store; upload the sample again",
        field="sha256",
    )


def _name(sha256: str) -> str:
    if _SHA256.fullmatch(sha256) is None:
        # A name with dots and slashes would lead out of the store.
        raise ValueError(f"{sha256!r} is not a SHA-256 of 64 lowercase hex digits")
    # Two levels, so that no folder grows to millions of entries.
    return f"{_KEPT}/{sha256[:2]}/{sha256[2:4]}/{sha256}"


def _root(url: str) -> Path:
    # A plain path is taken literally: it may hold a percent sign or a hash.
    if "://" not in url:
        return Path(url).absolute()
    parsed = urlparse(url)
    path = unquote(parsed.path)
    if parsed.scheme != "file" or parsed.netloc or not path.startswith("/"):
        raise ValueError(f"{url!r} is not a store")
    return Path(path)


def _make_root(root: Path) -> None:
    root.parent.mkdir(parents=True, exist_ok=True)
    if _make_private_folder(root):
        _flush(root.parent)


def _make_private_folder(path: Path) -> bool:
    """Return whether it was made; ``False`` if it was there."""
    try:
        path.mkdir(mode=_PRIVATE_FOLDER)
    except FileExistsError:
        if not path.is_dir():
            raise
        return False
    # A strict umask takes this user's own rights away.
    path.chmod(_PRIVATE_FOLDER)
    return True


def _new_private_file(path: Path) -> BinaryIO:
    _make_private_folder(path.parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    descriptor = os.open(path, flags, _PRIVATE_FILE)
    os.fchmod(descriptor, _PRIVATE_FILE)
    return os.fdopen(descriptor, "wb")


def _rename_durably(source: Path, target: Path) -> None:
    # The row that is committed next must not outlive the bytes in a power cut.
    _flush(source)
    for folder in (target.parents[2], target.parents[1], target.parent):
        if _make_private_folder(folder):
            _flush(folder.parent)
    source.replace(target)
    _flush(target.parent)


def _remove_older(folder: Path, before: datetime) -> int:
    removed = 0
    for path in folder.glob("*"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < before.timestamp():
                path.unlink()
                removed += 1
    return removed


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
