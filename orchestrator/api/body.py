"""
Raw bodies: from the socket into a blocking reader, and from the store to the socket.

Nothing is ever whole in memory: the reader asks for a chunk, and only then is it read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import anyio.from_thread
from fastapi import Request
from fastapi.responses import StreamingResponse

from orchestrator.domain.errors import InvalidError, SampleTooLargeError
from orchestrator.store import SampleStore


def received_chunks(request: Request, *, limit_bytes: int) -> Iterator[bytes]:
    """
    Return the body for a blocking reader in a worker thread of this request.

    A chunk is read from the socket when the reader asks for it: a slow store makes the
    client wait, and costs one chunk of memory.

    Raises:
        SampleTooLargeError: At once if ``Content-Length`` says so; the reader counts.
        InvalidError: ``Content-Length`` is no number.
        ClientDisconnect: From the iterator: the client went away.
    """
    announced = request.headers.get("Content-Length", "0")
    if not announced.isdecimal():
        raise InvalidError("is not a number of bytes", field="Content-Length")
    if int(announced) > limit_bytes:
        raise SampleTooLargeError(limit_bytes)
    return _in_thread(request.stream())


def raw_answer(store: SampleStore, sha256: str, size_bytes: int) -> StreamingResponse:
    """
    Return the stored bytes as an answer that no browser will show or run.

    Raises:
        SampleMissingError: They are not in the store.
    """
    return StreamingResponse(
        store.open(sha256),
        media_type="application/octet-stream",
        headers={
            "Content-Length": str(size_bytes),
            "Content-Disposition": f'attachment; filename="{sha256}"',
            "X-Content-Type-Options": "nosniff",
        },
    )


def _in_thread(stream: AsyncIterator[bytes]) -> Iterator[bytes]:
    async def next_chunk() -> bytes | None:
        return await anext(stream, None)

    while (chunk := anyio.from_thread.run(next_chunk)) is not None:
        yield chunk
