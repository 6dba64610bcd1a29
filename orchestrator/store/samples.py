"""
Sample bytes, and whatever else is large: content-addressed, through obstore.

A folder by default; S3, GCS or Azure by URL. Bytes arrive under a staging name and get
their hash's name when they are whole, so that no name ever stands for half a sample.
It knows no database: a row is committed after its bytes are kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import urlparse

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
    StoreUnavailableError,
)
from orchestrator.store.folder import (
    make_root,
    new_private_file,
    remove_older,
    rename_durably,
    root_of,
)
from orchestrator.store.intake import Intake, Received

#: Bytes handed on at a time when reading.
CHUNK_BYTES = 1024 * 1024

_STAGING = "staging"
_KEPT = "sha256"
_SHA256 = re.compile(r"[0-9a-f]{64}")

#: Well within the 30 s that the contract's client waits for an answer. By default a
#: store that is away is tried for three minutes.
_CONNECT = timedelta(seconds=5)
_RETRY = timedelta(seconds=8)
_RETRIES_MAX = 3


class _Writes(Protocol):
    """What takes bytes in."""

    def write(self, data: bytes, /) -> object: ...


class SampleStore:
    """
    Every method raises :class:`StoreUnavailableError` while the store does not answer.

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
                return cls(
                    from_url(
                        url,
                        client_options={"connect_timeout": _CONNECT},
                        retry_config={
                            "max_retries": _RETRIES_MAX,
                            "retry_timeout": _RETRY,
                        },
                    )
                )
            root = root_of(url)
            make_root(root, _KEPT)
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
        intake = Intake(limit_bytes)
        try:
            with self._writer(staging) as write:
                for chunk in chunks:
                    intake.take(chunk)
                    write(chunk)
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
            with self._answering():
                if self._root is None:
                    obstore.rename(self._store, received.staging, name)
                else:
                    rename_durably(self._root / received.staging, self._root / name)
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
            with self._answering():
                found = obstore.get(self._store, _name(sha256))
        except FileNotFoundError:
            raise _missing(sha256) from None
        stream = iter(found.stream(min_chunk_size=CHUNK_BYTES))
        while True:
            with self._answering():
                chunk = next(stream, None)
            if chunk is None:
                return
            yield bytes(chunk)

    def read_range(self, sha256: str, *, offset: int, length: int) -> bytes:
        """
        Return *length* bytes from *offset* on.

        Raises:
            SampleMissingError: The bytes are not here.
        """
        name = _name(sha256)
        try:
            with self._answering():
                part = obstore.get_range(self._store, name, start=offset, length=length)
        except FileNotFoundError:
            raise _missing(sha256) from None
        return bytes(part)

    def size(self, sha256: str) -> int | None:
        """Return the size in bytes, ``None`` if the bytes are not here."""
        try:
            with self._answering():
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
        with self._answering():
            self._delete(_name(sha256))

    def delete_older(self, sha256s: Iterable[str], *, older_than: timedelta) -> None:
        """
        Remove bytes unless somebody kept them within so long; harmless if not here.

        Age is by the store's own clock.
        """
        with self._answering():
            before = self._now() - older_than
            for name in map(_name, sha256s):
                with suppress(FileNotFoundError):
                    if obstore.head(self._store, name)["last_modified"] < before:
                        self._delete(name)

    def sweep(self, *, older_than: timedelta) -> int:
        """
        Remove staging bytes that nobody wrote to for so long: uploads whose process
        died.

        Call it with more than any sender may pause. Age is by the store's own clock.
        Parts of an upload that an object store never saw end are not listed: its own
        rule for incomplete uploads removes them.

        Returns:
            How many were removed.
        """
        with self._answering():
            before = self._now() - older_than
            if self._root is not None:
                return remove_older(self._root / _STAGING, before)
            return self._sweep_objects(before)

    def _now(self) -> datetime:
        if not self._is_here():
            raise FileNotFoundError(self._root)
        name = f"{_STAGING}/{uuid7()}"
        obstore.put(self._store, name, b"")
        written_at: datetime = obstore.head(self._store, name)["last_modified"]
        self._delete(name)
        return written_at

    def _sweep_objects(self, before: datetime) -> int:
        removed = 0
        for page in obstore.list(self._store, prefix=_STAGING):
            for found in page:
                if found["last_modified"] < before:
                    self._delete(found["path"])
                    removed += 1
        return removed

    @contextmanager
    def _writer(self, name: str) -> Iterator[Callable[[bytes], None]]:
        # Only the store's own failures are its: whoever sends the bytes may fail too.
        stack = ExitStack()
        with self._answering(missing_is_away=True):
            file = stack.enter_context(self._open_writer(name))

        def write(chunk: bytes) -> None:
            with self._answering(missing_is_away=True):
                file.write(chunk)

        try:
            yield write
        except BaseException:
            with suppress(OSError, BaseError):
                stack.close()
            raise
        with self._answering(missing_is_away=True):
            stack.close()

    @contextmanager
    def _answering(self, *, missing_is_away: bool = False) -> Iterator[None]:
        """Tell a store that is away from a sample that is not in it."""
        try:
            yield
        except FileNotFoundError as error:
            # A folder that was unmounted has lost nothing.
            if missing_is_away or not self._is_here():
                raise _away() from error
            raise
        except (OSError, BaseError) as error:
            raise _away() from error

    def _is_here(self) -> bool:
        return self._root is None or (self._root / _KEPT).is_dir()

    def _open_writer(self, name: str) -> AbstractContextManager[_Writes]:
        # A folder's files are written here: obstore makes them readable for everybody,
        # and leaves a temporary name behind that it does not list.
        if self._root is None:
            return obstore.open_writer(self._store, name)
        if not self._is_here():
            raise FileNotFoundError(self._root)
        return new_private_file(self._root / name)

    def _delete(self, name: str) -> None:
        with suppress(FileNotFoundError):
            obstore.delete(self._store, name)

    def _forget(self, name: str) -> None:
        # What stays behind is swept later; the caller's own error matters more.
        with suppress(OSError, BaseError):
            self._delete(name)


def _missing(sha256: str) -> SampleMissingError:
    return SampleMissingError(
        f"the bytes of {sha256} are not in the store; upload the sample again",
        field="sha256",
    )


def _away() -> StoreUnavailableError:
    return StoreUnavailableError(
        "the sample store does not answer, or takes nothing; nothing was done, try"
        " again later"
    )


def _name(sha256: str) -> str:
    if _SHA256.fullmatch(sha256) is None:
        # A name with dots and slashes would lead out of the store.
        raise ValueError(f"{sha256!r} is not a SHA-256 of 64 lowercase hex digits")
    # Two levels, so that no folder grows to millions of entries.
    return f"{_KEPT}/{sha256[:2]}/{sha256[2:4]}/{sha256}"
