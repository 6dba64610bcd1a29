"""
A worker's queue as a replica reads it: many messages in one call, of either broker.

Takes bytes and gives them out as they are; what they mean is the gate's matter. What is
taken is this replica's: nothing is read twice, and what it loses the orchestrator
finds.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from orchestrator.contracts.broker_tls import kombu_tls
from orchestrator.contracts.names import worker_queue
from orchestrator.contracts.node.messages import (
    Parcel,
    UnreadableError,
    note_discarded,
    read_envelope,
)
from orchestrator.contracts.silence import CONNECT_SECONDS, HEARTBEAT_SECONDS
from workers.replica.broker import Connection
from workers.replica.redis_line import RedisLine
from workers.replica.settings import Settings

#: Seconds that one call waits for a message; so long a replica that leaves may take.
_WAIT_SECONDS = 1.0


class Taker(Protocol):
    """
    Whoever reads an inbox.

    ``is_open``: whether anything is to be taken at all. ``room``: for how many more.
    """

    @property
    def is_open(self) -> bool: ...

    @property
    def room(self) -> int: ...


class Inbox(Protocol):
    """One connection; for one thread."""

    def take(self, taker: Taker) -> Sequence[Parcel]:
        """Return what there is, as much as there is room for; wait a second for it."""

    def close(self) -> None:
        """Let go of the connection."""


class RedisInbox:
    """
    Args:
        connection: kombu's, to be closed with it.
        queue: The name of the list.
        bell: Rings when a message is taken up.
    """

    def __init__(self, connection: Any, queue: str, bell: Bell) -> None:
        self._line = RedisLine(connection)
        self._queue = queue
        self._bell = bell
        self._given: deque[None] = deque()
        self._few = 0

    def take(self, taker: Taker) -> Sequence[Parcel]:
        most = taker.room if taker.is_open else 0
        if most <= 0:
            self._bell.wait(_WAIT_SECONDS)
            return ()
        # Whoever has several is not asked again for each.
        self._few = (most + len(self._given)) // 2
        found = self._line.ask(
            "BLMPOP", _WAIT_SECONDS, 1, self._queue, "RIGHT", "COUNT", most
        )
        came = found[1] if found else []
        if came and not taker.is_open:
            # It was shut while we waited: they go back to where they stood.
            self._line.ask("RPUSH", self._queue, *reversed(came))
            return ()
        opened = list(filter(None, map(self._open, came)))
        self._given.extend([None] * len(opened))
        return opened

    def close(self) -> None:
        self._line.close()

    def _open(self, raw: bytes) -> Parcel | None:
        try:
            return read_envelope(raw, queue=self._queue, note_taken_up=self._note)
        except UnreadableError as error:
            note_discarded(str(error), raw)
            return None

    def _note(self) -> None:
        self._given.pop()
        if len(self._given) <= self._few:
            self._bell.ring()


class RabbitMQInbox:
    """
    Never more is delivered and not acknowledged than there are slots: what was taken
    up, or what comes to somebody who has been quick and has room for more than that.

    Args:
        connection: kombu's, connected; to be closed with it.
        queue: Its name.
        bell: As above.
        prefetch: How many messages may wait here.
    """

    def __init__(
        self, connection: Any, queue: str, bell: Bell, *, prefetch: int
    ) -> None:
        self._connection = connection
        self._queue = queue
        self._bell = bell
        self._prefetch = prefetch
        self._taken_up: deque[int] = deque()
        self._came: deque[Any] = deque()
        self._channel = connection.channel()
        self._channel.basic_qos(0, prefetch, a_global=False)
        self._tag: str | None = None

    def take(self, taker: Taker) -> Sequence[Parcel]:
        self._subscribe(is_open=taker.is_open)
        self._acknowledge()
        if not self._came:
            self._wait()
        self._connection.heartbeat_check(2)
        # The next comes while these wait, as on Redis.
        spare = max(taker.room - self._prefetch, 0)
        came = [self._came.popleft() for _ in range(len(self._came))]
        early, late = came[:spare], came[spare:]
        self._taken_up.extend(message.delivery_tag for message in early)
        self._acknowledge()
        return [*(_parcel(message) for message in early), *map(self._noting, late)]

    def close(self) -> None:
        self._connection.close()

    def _subscribe(self, *, is_open: bool) -> None:
        if is_open and self._tag is None:
            self._tag = self._channel.basic_consume(
                self._queue, callback=self._came.append
            )
        elif not is_open and self._tag is not None:
            self._channel.basic_cancel(self._tag)
            self._tag = None

    def _acknowledge(self) -> None:
        while self._taken_up:
            self._channel.basic_ack(self._taken_up.popleft())

    def _wait(self) -> None:
        wire = self._channel.connection.sock
        self._bell.wait(_WAIT_SECONDS, wire)
        with suppress(TimeoutError):
            while True:
                self._connection.drain_events(timeout=0)

    def _noting(self, message: Any) -> Parcel:
        tag = message.delivery_tag

        def note_taken_up() -> None:
            self._taken_up.append(tag)
            self._bell.ring()

        return _parcel(message, note_taken_up=note_taken_up)


def _parcel(message: Any, **noting: Any) -> Parcel:
    body = message.body
    return Parcel(
        content=body.encode() if isinstance(body, str) else bytes(body),
        headers=message.headers,
        content_type=message.properties.get("content_type"),
        content_encoding=message.properties.get("content_encoding"),
        **noting,
    )


class Bell:
    """Wakes the one thread that waits for it, perhaps beside other things."""

    def __init__(self) -> None:
        self._ours, self._theirs = os.pipe()
        os.set_blocking(self._ours, False)
        os.set_blocking(self._theirs, False)
        self._is_rung = False

    def fileno(self) -> int:
        """Return what becomes readable when it rings."""
        return self._ours

    def ring(self) -> None:
        """Wake it; for any thread."""
        if not self._is_rung:
            self._is_rung = True
            os.write(self._theirs, b"\0")

    def still(self) -> None:
        """Let it ring again. Whoever was woken looks at everything after this."""
        with suppress(BlockingIOError):
            os.read(self._ours, 4096)
        self._is_rung = False

    def wait(self, seconds: float, *wires: Any) -> None:
        """Wait until it rings, or one of *wires* can be read."""
        asked = select.poll()
        for wire in (self, *wires):
            asked.register(wire, select.POLLIN)
        asked.poll(seconds * 1000)
        self.still()


def open_inbox(settings: Settings, worker: str, slots: int, bell: Bell) -> Inbox:
    """
    Connect to the queue of *worker*.

    Args:
        slots: Analyses at a time.
        bell: Rings when a message is taken up.

    Raises:
        Exception: Whatever kombu raises; the caller tries again.
    """
    url, tls = kombu_tls(settings.broker_url)
    connection = Connection(
        url,
        **tls,
        transport_options=settings.transport_options,
        connect_timeout=CONNECT_SECONDS,
        heartbeat=HEARTBEAT_SECONDS,
    )
    connection.connect()
    queue = str(worker_queue(worker, rabbitmq=settings.rabbitmq).name)
    if settings.rabbitmq:
        return RabbitMQInbox(connection, queue, bell, prefetch=slots)
    return RedisInbox(connection, queue, bell)
