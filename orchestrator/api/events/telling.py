"""
Tells one listener what comes, as Server-Sent Events, for as long as its key counts.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Final

from sse_starlette import EventSourceResponse, ServerSentEvent

from orchestrator.api.events.event import Event
from orchestrator.api.events.hub import Hub, Listener
from orchestrator.api.http.threads import in_thread
from orchestrator.db.unit_of_work import DATABASE_ERRORS
from orchestrator.domain.errors import (
    AuthenticationError,
    BusyError,
    PermissionDeniedError,
)

#: Seconds from one comment to the next, by which a client knows that we are here.
_COMMENT_SECONDS: Final = 15

#: Seconds from one look whether the key still counts to the next.
_KEY_SECONDS: Final = 60.0

#: Seconds in which a client must have taken some of what it is sent.
_SEND_SECONDS: Final = 10.0


class KeyWatch:
    """
    The key with which somebody came, looked at now and then.

    Args:
        admit_again: Lets them in once more, in a thread; or raises.
    """

    def __init__(self, admit_again: Callable[[], object]) -> None:
        self._admit_again = admit_again
        self._look_at = time.monotonic() + _KEY_SECONDS

    @property
    def seconds_left(self) -> float:
        """Until it is to be looked at again."""
        return max(0.0, self._look_at - time.monotonic())

    async def counts(self) -> bool:
        """Whether it still opens this; where nobody can say now, it does."""
        if self.seconds_left:
            return True
        self._look_at = time.monotonic() + _KEY_SECONDS
        try:
            await in_thread(self._admit_again)
        except (AuthenticationError, PermissionDeniedError):
            return False
        except (BusyError, *DATABASE_ERRORS):
            pass
        return True


def respond(events: AsyncIterator[ServerSentEvent]) -> EventSourceResponse:
    """Return the answer that tells *events*."""
    return EventSourceResponse(
        events, ping=_COMMENT_SECONDS, sep="\n", send_timeout=_SEND_SECONDS
    )


def sent(event: Event, *, id_: str | None = None) -> ServerSentEvent:
    """Return an event as it travels."""
    return ServerSentEvent(event.data, event=event.kind, id=id_)


async def follow(
    hub: Hub, listener: Listener, key: KeyWatch
) -> AsyncIterator[ServerSentEvent]:
    """Yield what the listener is told, until it falls behind or its key ends."""
    try:
        while not listener.is_cut_off and await key.counts():
            told = await listener.next(key.seconds_left)
            if told is not None:
                yield sent(told.event, id_=told.id)
    finally:
        hub.leave(listener)
