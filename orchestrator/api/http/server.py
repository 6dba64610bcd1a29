"""
The HTTP server around the app: how long it waits for a request, how much of one it
reads, and an envelope also for what never became a request.

How fast a body must come is ``body_deadline.py``'s, what it may hold ``body.py``'s, and
what a head may ``strict_head.py``'s.
"""

from __future__ import annotations

import asyncio
import sys
from http import HTTPStatus
from typing import Any, cast

import h11
import structlog
import uvicorn
from fastapi import FastAPI
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from orchestrator.api.http.body_deadline import BYTES_PER_SECOND
from orchestrator.api.http.envelope import NO_GUESSING
from orchestrator.api.http.errors import failure, general
from orchestrator.api.http.lingering import LingeringTransport
from orchestrator.api.http.strict_head import StrictHeadError, strict_connection

log = structlog.get_logger(__name__)

#: Seconds for the whole head of a request, from the first moment in which one could
#: come. What is left of a body that nobody wants is read as long, and thrown away.
HEAD_SECONDS = 30.0

#: Seconds after which a client must have taken some of its answer, and bytes that are
#: some: 128 kbit/s, as for what it sends.
TAKE_SECONDS = 30.0
_TAKE_BYTES = int(TAKE_SECONDS * BYTES_PER_SECOND)

#: Seconds that an idle connection is kept for another request.
_KEEP_ALIVE_SECONDS = 5

#: Seconds that requests may go on when the process is told to stop.
_SHUTDOWN_SECONDS = 5


def server_config(
    app: FastAPI, *, host: str, port: int, trusted_proxies: str = ""
) -> uvicorn.Config:
    """
    Return how *app* is served.

    Args:
        port: 0 is any free one.
        trusted_proxies: Addresses, with commas, whose ``X-Forwarded-For`` is believed.
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        lifespan="off",
        loop="uvloop",
        http=BoundedProtocol,
        ws="none",
        # Whoever can forge an address passes for one of a key's networks.
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=trusted_proxies,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        # It tells everybody what to look for.
        server_header=False,
    )


class BoundedProtocol(H11Protocol):
    """
    One connection: closed when no request has come within :data:`HEAD_SECONDS`, and
    cut when the client does not take its answer.

    uvicorn itself only closes a connection on which nothing at all comes, and waits for
    ever for what it sends to be taken.
    """

    #: Seconds; a test shortens it.
    head_seconds = HEAD_SECONDS
    take_seconds = TAKE_SECONDS

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.conn = strict_connection()
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own signature
        lingering = LingeringTransport(transport, self._is_sending)
        super().connection_made(cast("asyncio.Transport", lingering))
        self._expect_request()

    @override
    def data_received(self, data: bytes) -> None:
        # What comes to a connection that we have closed is for nobody.
        if not self.transport.is_closing():
            super().data_received(data)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_expecting()
        self._stop_watching()
        super().connection_lost(exc)

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    @override
    def resume_writing(self) -> None:
        self._stop_watching()
        super().resume_writing()

    @override
    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._stop_expecting()

    @override
    def on_response_complete(self) -> None:
        # First: the next request may already be there, and stops this.
        self._expect_request()
        super().on_response_complete()
        if self.transport.is_closing():
            self._close()

    @override
    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._close()

    @override
    def send_400_response(self, msg: str) -> None:
        error = sys.exception()
        hint = getattr(error, "error_status_hint", HTTPStatus.BAD_REQUEST)
        text = str(error) if isinstance(error, StrictHeadError) else msg
        self._refuse(HTTPStatus(hint), text)

    def _is_sending(self) -> bool:
        return self.conn.their_state in {h11.SEND_BODY, h11.ERROR}

    def _expect_request(self) -> None:
        self._stop_expecting()
        self._deadline = self.loop.call_later(self.head_seconds, self._give_up)

    def _watch(self) -> None:
        # Nothing is added while writing is paused: what is less has been taken.
        left = self.transport.get_write_buffer_size()
        self._stalled = self.loop.call_later(self.take_seconds, self._cut, left)

    def _cut(self, left: int) -> None:
        taken = left - self.transport.get_write_buffer_size()
        if taken >= min(left, _TAKE_BYTES):
            self._watch()
        else:
            log.info("answer.not_taken", left_bytes=left - taken)
            # Closing would wait for the rest to be taken.
            self.transport.abort()

    def _stop_watching(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _stop_expecting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        has_begun = self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]
        if has_begun:
            text = f"no whole request came within {self.head_seconds:g} s"
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, text)
        else:
            self._close()

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            # An answer is already on its way: it ends here, and the client sees that.
            self._close()
            return
        log.info("request.refused", status=status, reason=text)
        code = status.phrase.lower().replace(" ", "_")
        answer = failure(status, [general(text)], code=code)
        head = h11.Response(
            status_code=status,
            headers=[*answer.raw_headers, NO_GUESSING, (b"connection", b"close")],
            reason=status.phrase.encode(),
        )
        for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self._close()

    def _close(self) -> None:
        self.transport.close()
        if self.transport.get_write_buffer_size():
            # It waits for ever for the rest to be taken.
            self.loop.call_later(self.take_seconds, self.transport.abort)
