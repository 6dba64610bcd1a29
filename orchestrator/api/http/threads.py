"""
Waiting for a thread: so long and no longer, then the client is told to come again.

A process that is asked for more than it can do answers soon, instead of letting every
client wait until it gives up and asks again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

import anyio
from anyio import to_thread

from orchestrator.domain.errors import BusyError

T = TypeVar("T")

#: Seconds. Source: the contract's documentation of 503.
WAIT_SECONDS = 2.0


async def in_thread(act: Callable[[], T], *limiters: anyio.CapacityLimiter) -> T:
    """
    Run *act* in a thread as soon as one is free.

    Args:
        limiters: What it counts for, one after the other; none is the threads in which
            routes run.

    Raises:
        BusyError: None became free within :data:`WAIT_SECONDS`; nothing was done.
    """
    turn = object()
    with ExitStack() as held:
        with anyio.move_on_after(WAIT_SECONDS) as waiting:
            for limiter in limiters or (to_thread.current_default_thread_limiter(),):
                await _acquire(limiter, turn)
                held.callback(limiter.release_on_behalf_of, turn)
        if waiting.cancelled_caught:
            raise BusyError(
                "too much is asked for at once; nothing was done, try again in a moment"
            )
        # The turn is what is limited. It is no part of the waiting: a thread that has
        # begun is waited for, and may ask the event loop for more.
        return await to_thread.run_sync(act, limiter=anyio.CapacityLimiter(1))


async def _acquire(limiter: anyio.CapacityLimiter, turn: object) -> None:
    try:
        # Waiting for what is free would cost a turn of the loop.
        limiter.acquire_on_behalf_of_nowait(turn)
    except anyio.WouldBlock:
        await limiter.acquire_on_behalf_of(turn)
