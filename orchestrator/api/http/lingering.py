"""
Closing a connection on which the client still sends: so that it sees the answer.

The system answers bytes that come to a closed socket with a reset, and the client's
system then throws away what it has not read yet, the reason of the refusal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

#: Seconds in which a client that is refused may notice. What it sends is thrown away.
LINGER_SECONDS = 2.0


class LingeringTransport:
    """
    A transport that closes when the client has, or a moment later.

    Args:
        is_unread: Whether the client may still be sending.
    """

    def __init__(
        self, transport: asyncio.Transport, is_unread: Callable[[], bool]
    ) -> None:
        self._transport = transport
        self._is_unread = is_unread
        self._is_closing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Whether it has been closed, be it not quite yet."""
        return self._is_closing or self._transport.is_closing()

    def close(self) -> None:
        """Send what was written, say that it was all, and close in a moment."""
        if self.is_closing():
            return
        self._is_closing = True
        if not (self._is_unread() and self._transport.can_write_eof()):
            self._transport.close()
            return
        self._transport.write_eof()
        self._transport.resume_reading()
        loop = asyncio.get_running_loop()
        loop.call_later(LINGER_SECONDS, self._transport.close)
