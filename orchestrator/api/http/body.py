"""
Raw bodies: from the socket into a blocking reader, and from the store to the socket.

Nothing is ever whole in memory: the reader asks for a chunk, and only then is it read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

import anyio
from anyio import from_thread
from fastapi import Request
from fastapi.responses import StreamingResponse

from orchestrator.api.http.threads import in_thread
from orchestrator.contracts.wire import OPAQUE_MIME_TYPE
from orchestrator.domain.errors import (
    InvalidError,
    SampleMissingError,
    SampleTooLargeError,
)
from orchestrator.store import SampleStore

#: Bodies that are read at once, and how many of them for one user. They have threads of
#: their own, so that slow clients keep nobody waiting but each other.
READERS_MAX = 32
READERS_PER_USER = 8
#: A replica sends one file of an attempt after another; one more where an answer was
#: lost, and the connection is not known to be dead.
READERS_PER_ATTEMPT = 2

#: Known to everybody: it keeps a sample from being opened, not from being read.
_ZIP_PASSWORD = "infected"  # noqa: S105
_ZIP_MODE = 0o600
#: Always the same, so that a sample is always the same archive but for its salt.
_ZIP_TIME = datetime(1980, 1, 1, tzinfo=UTC)

_BYTES: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
#: How the documentation shows bodies and answers that are bytes.
RAW_BODY = {"requestBody": {"content": {"*/*": _BYTES}, "required": False}}
RAW_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {OPAQUE_MIME_TYPE: _BYTES}}
}
ZIP_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/zip": _BYTES}}
}

T = TypeVar("T")


class Readers:
    """
    Who reads bodies, by the event loop: :data:`READERS_MAX` threads.

    Args:
        most_of_one: How many of them one may have.
    """

    def __init__(self, most_of_one: int) -> None:
        self._most_of_one = most_of_one
        self._all = anyio.CapacityLimiter(READERS_MAX)
        self._by_owner: WeakValueDictionary[UUID, anyio.CapacityLimiter] = (
            WeakValueDictionary()
        )

    async def run(self, read: Callable[[], T], *, owner: UUID) -> T:
        """
        Run what reads a body.

        Raises:
            BusyError: No thread became free in time.
        """
        own = self._by_owner.get(owner)
        if own is None:
            own = anyio.CapacityLimiter(self._most_of_one)
            self._by_owner[owner] = own
        return await in_thread(read, own, self._all)


async def run_reader(request: Request, read: Callable[[], T], *, user_id: UUID) -> T:
    """
    Run what reads the body of a user's *request*, as :meth:`Readers.run`.

    Raises:
        BusyError: No thread became free in time.
    """
    readers: Readers = request.app.state.readers
    return await readers.run(read, owner=user_id)


async def run_attempt_reader(
    request: Request, read: Callable[[], T], *, task_id: UUID
) -> T:
    """
    Run what reads the body of a replica's *request*, as :meth:`Readers.run`.

    Raises:
        BusyError: No thread became free in time.
    """
    readers: Readers = request.app.state.attempt_readers
    return await readers.run(read, owner=task_id)


def received_chunks(request: Request, *, limit_bytes: int) -> Iterator[bytes]:
    """
    Return the body for a blocking reader in a worker thread of this request.

    A chunk is read from the socket when the reader asks for it: a slow store makes the
    client wait, and costs one chunk of memory.

    Raises:
        SampleTooLargeError: At once if ``Content-Length`` says so; the reader counts.
        InvalidError: ``Content-Length`` is no number.
        ClientDisconnect: From the iterator: the client went away.
        HTTPException: From the iterator: 408, it came too slowly.
    """
    announced = request.headers.get("Content-Length", "0")
    if not announced.isdecimal():
        raise InvalidError("is not a number of bytes", field="Content-Length")
    if int(announced) > limit_bytes:
        raise SampleTooLargeError(limit_bytes)
    return _in_thread(request.stream())


def raw_answer(
    store: SampleStore, sha256: str, *, file_name: str | None = None
) -> StreamingResponse:
    """
    Return the stored bytes as an answer that no browser will show or run.

    Raises:
        SampleMissingError: They are not in the store.
    """
    size_bytes = _require_bytes(store, sha256)
    return StreamingResponse(
        store.open(sha256),
        media_type=OPAQUE_MIME_TYPE,
        headers={
            "Content-Length": str(size_bytes),
            "Content-Disposition": f'attachment; filename="{file_name or sha256}"',
        },
    )


def zip_answer(store: SampleStore, sha256: str) -> StreamingResponse:
    """
    Return the stored bytes in an AES-encrypted ZIP, which no scanner on the way opens.

    Raises:
        SampleMissingError: They are not in the store.
    """
    # When somebody asks for one: loading its ciphers takes a tenth of an API's start.
    from stream_zip import ZIP_64, stream_zip  # noqa: PLC0415

    _require_bytes(store, sha256)
    member = (sha256, _ZIP_TIME, _ZIP_MODE, ZIP_64, store.open(sha256))
    return StreamingResponse(
        stream_zip([member], password=_ZIP_PASSWORD),
        media_type="application/zip",
        headers={
            "Content-Disposition": f'attachment; filename="{sha256}.zip"',
        },
    )


def _require_bytes(store: SampleStore, sha256: str) -> int:
    # Asked before the answer starts: after that it is too late for a 404.
    size_bytes = store.size(sha256)
    if size_bytes is None:
        raise SampleMissingError(
            f"the bytes of {sha256} are not in the store; upload the sample again",
            field="sha256",
        )
    return size_bytes


def _in_thread(stream: AsyncIterator[bytes]) -> Iterator[bytes]:
    async def next_chunk() -> bytes | None:
        return await anext(stream, None)

    while (chunk := from_thread.run(next_chunk)) is not None:
        yield chunk
