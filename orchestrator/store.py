"""
Sample bytes, and whatever else is large: content-addressed, through obstore.

A folder by default; S3, GCS or Azure by URL. Bytes arrive under a staging name and get
their hash's name when they are whole, so that no name ever stands for half a sample.
It knows no database: a row is committed after its bytes are kept.
"""

from __future__ import annotations

import hashlib
import os
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

from orchestrator.domain.errors import SampleMissingError, SampleTooLargeError

#: Bytes from both ends that classification looks at: a ZIP's directory is at its end.
HEAD_BYTES = 8 * 1024
TAIL_BYTES = 64 * 1024

#: Bytes handed on at a time when reading.
CHUNK_BYTES = 1024 * 1024

_STAGING = "staging"
_KEPT = "sha256"


@dataclass(frozen=True, kw_only=True, slots=True)
class Digests:
    """Lowercase hex digests and the size in bytes of what was received."""

    sha256: str
    sha512: str
    sha1: str
    md5: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """Bytes that have arrived whole, under a staging name."""

    digests: Digests
    head: bytes
    tail: bytes
    staging: str


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
        Open a store: a folder's path, ``file://``, ``s3://``, ``gs://`` or ``az://``.

        A folder is created, readable by this user alone.
        """
        parsed = urlparse(url)
        if parsed.scheme not in {"", "file"}:
            return cls(from_url(url))
        root = Path(unquote(parsed.path)).absolute()
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(LocalStore(root), root=root)

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
            self._remove(staging)
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
        self._remove(received.staging)

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
        """Remove bytes; harmless if they are not here."""
        self._remove(_name(sha256))

    def sweep(self, *, before: datetime) -> int:
        """
        Remove staging bytes older than *before*: uploads whose process died.

        Returns:
            How many were removed.
        """
        if self._root is not None:
            return _remove_older(self._root / _STAGING, before)
        removed = 0
        for page in obstore.list(self._store, prefix=_STAGING):
            for found in page:
                if found["last_modified"] < before:
                    self._remove(found["path"])
                    removed += 1
        return removed

    def _writer(self, name: str) -> AbstractContextManager[_Writes]:
        # A folder's files are written here: obstore makes them readable for everybody,
        # and leaves a temporary name behind that it does not list.
        if self._root is None:
            return obstore.open_writer(self._store, name)
        return _new_private_file(self._root / name)

    def _remove(self, name: str) -> None:
        try:
            obstore.delete(self._store, name)
        except (FileNotFoundError, BaseError):
            # What stays behind is swept later; the caller's own error matters more.
            return


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

    def received(self, staging: str) -> Received:
        digests = {name: one.hexdigest() for name, one in self._hashes.items()}
        return Received(
            digests=Digests(size=self._size, **digests),
            head=self._head,
            tail=self._tail,
            staging=staging,
        )


def _missing(sha256: str) -> SampleMissingError:
    return SampleMissingError(
        f"the bytes of {sha256} are not in the store; upload the sample again",
        field="sha256",
    )


def _name(sha256: str) -> str:
    # Two levels, so that no folder grows to millions of entries.
    return f"{_KEPT}/{sha256[:2]}/{sha256[2:4]}/{sha256}"


def _new_private_file(path: Path) -> BinaryIO:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def _rename_durably(source: Path, target: Path) -> None:
    # The row that is committed next must not outlive the bytes in a power cut.
    _flush(source)
    for folder in (target.parents[2], target.parents[1], target.parent):
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            continue
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
