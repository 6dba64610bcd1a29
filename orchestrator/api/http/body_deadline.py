"""
How fast a body must come: who sends nothing, or a byte now and then, is told so.

Only the time in which the server waits for the client counts: a slow store is not the
client's fault. How large a body may be is the business of whoever reads it.
"""

from __future__ import annotations

import time
from http import HTTPStatus

import anyio
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Seconds without a byte.
SILENCE_SECONDS = 30.0

#: Seconds that any body may take, and bytes that buy another second: 128 kbit/s, the
#: slowest link from which anybody sends samples.
BODY_SECONDS = 30.0
BYTES_PER_SECOND = 16 * 1024

#: The rest of the body is not wanted any more.
_CLOSE = {"Connection": "close"}


class BodyDeadline:
    """
    Middleware that bounds how long the body of a request is waited for.

    Raises:
        HTTPException: 408, from ``receive`` of what is inside, while that has not yet
            answered.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        silence_seconds: float | None = None,
        body_seconds: float | None = None,
    ) -> None:
        self._app = app
        self._silence_seconds = silence_seconds or SILENCE_SECONDS
        self._body_seconds = body_seconds or BODY_SECONDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        waited, received = 0.0, 0
        is_whole = is_answered = False

        async def watched(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        async def paced() -> Message:
            nonlocal waited, received, is_whole
            if is_whole:
                # What comes now is that the client has gone.
                return await receive()
            allowed = self._body_seconds + received / BYTES_PER_SECOND - waited
            began = time.monotonic()
            with anyio.move_on_after(min(allowed, self._silence_seconds)):
                message = await receive()
                waited += time.monotonic() - began
                received += len(message.get("body", b""))
                is_whole = not message.get("more_body", False)
                return message
            if is_answered:
                return {"type": "http.disconnect"}
            raise HTTPException(
                HTTPStatus.REQUEST_TIMEOUT,
                "the body came too slowly; send it again, faster",
                headers=_CLOSE,
            )

        await self._app(scope, paced, watched)
