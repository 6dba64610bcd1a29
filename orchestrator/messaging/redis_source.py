"""
Reports from Redis: moved atomically into a list of their own, trimmed after the commit.

Reads kombu's wire format without kombu's consumer, which removes a message and only
then notes that it did: a process killed in between loses it.

How it holds: ``reports.taken`` is what some reader took and nobody acknowledged. Every
move and every trim is one script, which first compares the epoch. So a batch that was
not acknowledged is simply what that list begins with, for this reader after ``requeue``
and for the next one after a crash; and a reader that was replaced can do nothing, not
even late. Waiting moves nothing: it rotates the queue by zero places
(``BLMOVE reports reports RIGHT RIGHT``), which blocks until there is something.

A Redis that is full refuses what may take memory, moving and rotating included. But it
is the reports that it is full of, and to read them is what makes it less full: so the
scripts say that they may run all the same, and waiting becomes asking again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import redis

from orchestrator.contracts.names import REPORTS
from orchestrator.domain.errors import SupersededError
from orchestrator.messaging.codec import (
    ENVELOPE_MAX_BYTES,
    EXCERPT_BYTES,
    RawMessage,
    decode_redis,
    too_large,
)
from orchestrator.messaging.errors import BrokerError, broker_errors
from orchestrator.messaging.limits import BATCH_MAX_BYTES, BATCH_MAX_MESSAGES
from orchestrator.messaging.redis_keys import (
    EPOCH,
    REPORT_KEYS,
    TAKEN,
    naming_foreign,
)
from orchestrator.messaging.topology import redis_client

#: Seconds of one blocking call; well below the socket's timeout, so that silence of the
#: broker and silence of the queue stay different things.
_BLOCK_SECONDS: Final = 2.0

#: Seconds from one question to the next while Redis is too full to let anybody wait.
_ASK_SECONDS: Final = 0.2

#: Begins every script. False if another reader is newer; else this epoch is the newest
#: (which a flushed or restarted Redis has forgotten).
_FENCE: Final = """#!lua flags=allow-oom
local newest = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
local mine = tonumber(ARGV[1])
if newest > mine then return false end
if newest < mine then redis.call('SET', KEYS[1], ARGV[1]) end
"""

#: The oldest is at the right end of both lists. First what was taken before, then as
#: many more as fit. Of a message above the limit only the beginning travels.
_TAKE: Final = (
    _FENCE
    + """
local most, bytes_left = tonumber(ARGV[2]), tonumber(ARGV[3])
local out = {}
local function add(message)
  if #message > tonumber(ARGV[4]) then
    out[#out + 1] = {#message, string.sub(message, 1, tonumber(ARGV[5]))}
  else
    out[#out + 1] = message
  end
  bytes_left = bytes_left - #message
end
local held = redis.call('LLEN', KEYS[2])
for i = 1, math.min(held, most) do
  if bytes_left <= 0 then return out end
  add(redis.call('LINDEX', KEYS[2], -i))
end
while #out < most and bytes_left > 0 do
  local message = redis.call('LMOVE', KEYS[3], KEYS[2], 'RIGHT', 'LEFT')
  if not message then break end
  add(message)
end
return out
"""
)

_ACKNOWLEDGE: Final = (
    _FENCE
    + """
redis.call('LTRIM', KEYS[2], 0, -1 - tonumber(ARGV[2]))
return 1
"""
)


class RedisReportSource:
    """A ``ReportSource`` on Redis 7 or newer."""

    def __init__(self, broker_url: str, *, epoch: int) -> None:
        self._broker_url = broker_url
        self._epoch = epoch
        self._client = redis_client(broker_url)
        self._take = self._client.register_script(_TAKE)
        self._acknowledge = self._client.register_script(_ACKNOWLEDGE)
        self._in_hand = 0
        self._is_interrupted = False
        self._is_connected = False
        # It replaces a broken connection by itself, without an error.
        given = self._client.connection_pool.connection_kwargs
        given["redis_connect_func"] = self._note_connection
        with suppress(BrokerError):
            self._taken(most=0)

    def batch(self, *, wait_seconds: float) -> Sequence[RawMessage]:
        deadline = time.monotonic() + wait_seconds
        messages = self._taken(most=BATCH_MAX_MESSAGES)
        while not messages and (left := deadline - time.monotonic()) > 0:
            with self._asking():
                self._wait(left)
            messages = self._taken(most=BATCH_MAX_MESSAGES)
        self._in_hand = len(messages)
        return [_decoded(message) for message in messages]

    def was_interrupted(self) -> bool:
        said, self._is_interrupted = self._is_interrupted, False
        return said

    def ack(self) -> None:
        done, self._in_hand = self._in_hand, 0
        with self._asking():
            # Not repeated: a trim whose answer was lost would trim twice.
            self._acknowledge(keys=[EPOCH, TAKEN], args=[self._epoch, done])

    def requeue(self) -> None:
        self._in_hand = 0

    def depth(self) -> int:
        with self._asking():
            pipe = self._client.pipeline(transaction=False)
            pipe.llen(REPORTS)
            pipe.llen(TAKEN)
            waiting, taken = pipe.execute()
        return int(waiting) + max(int(taken) - self._in_hand, 0)

    def close(self) -> None:
        self._client.close()

    def _note_connection(self, connection: Any) -> None:
        self._is_interrupted = self._is_connected
        self._is_connected = True
        connection.on_connect()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        with (
            broker_errors(self._broker_url),
            naming_foreign(self._client, REPORT_KEYS),
        ):
            yield

    def _taken(self, *, most: int) -> list[Any]:
        with self._asking():
            try:
                taken = self._run_take(most)
            except redis.ConnectionError:
                # The pooled connection is older than the broker. Once more on a new
                # one: taking is harmless to repeat, what was taken is read again.
                taken = self._run_take(most)
        if taken is None:
            raise SupersededError("another consumer reads the reports now")
        return taken

    def _run_take(self, most: int) -> list[Any] | None:
        taken: list[Any] | None = self._take(
            keys=[EPOCH, TAKEN, REPORTS],
            args=[
                self._epoch,
                most,
                BATCH_MAX_BYTES,
                ENVELOPE_MAX_BYTES,
                EXCERPT_BYTES,
            ],
        )
        return taken

    def _wait(self, seconds: float) -> None:
        block = max(min(seconds, _BLOCK_SECONDS), 0.001)
        try:
            # redis-py types its timeout as whole seconds; Redis takes fractions.
            self._client.blmove(REPORTS, REPORTS, block, "RIGHT", "RIGHT")  # type: ignore[arg-type]
        except redis.OutOfMemoryError:
            time.sleep(min(seconds, _ASK_SECONDS))


def _decoded(message: Any) -> RawMessage:
    if isinstance(message, bytes):
        return decode_redis(message)
    size, beginning = message
    return too_large(beginning, size_bytes=int(size))
