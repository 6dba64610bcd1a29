"""
The connection on which a replica takes its assignments.

Owns what differs from kombu's own: how soon it comes back, and on Redis where it is
noted what was delivered and not yet acknowledged. RabbitMQ notes that by itself.
"""

from __future__ import annotations

import logging
from typing import Any

from kombu.connection import Connection as KombuConnection
from kombu.transport import redis, virtual
from redis.exceptions import RedisError

log = logging.getLogger(__name__)


class Connection(KombuConnection):  # type: ignore[misc]  # kombu has no types
    """Comes back to a restarted broker within 2 s, where Celery would wait up to 30."""

    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        pace = {"interval_start": 0.2, "interval_step": 0.4, "interval_max": 2.0}
        return super().ensure_connection(*args, **{**pace, **options})

    def get_transport_cls(self) -> Any:
        found = super().get_transport_cls()
        return _Transport if found is redis.Transport else found


class _Unacknowledged(virtual.QoS):  # type: ignore[misc]  # kombu has no types
    """
    What was delivered and not yet acknowledged, in memory alone.

    Kombu copies every message into Redis and deletes the copy at its acknowledgement,
    two round trips that find again what a killed consumer held. The orchestrator does
    that from its database, and sooner.
    """

    def restore_unacked(self) -> list[tuple[BaseException, Any]]:
        """
        Put everything back into its queue, the first delivered foremost.

        Returns:
            No errors, ever: kombu would write the messages and their tokens to a file.
            What cannot go back is recovered like what a killed replica held.
        """
        self._flush()
        held = list(reversed(self._delivered.values()))
        self._delivered.clear()
        try:
            for message in held:
                self.channel._restore(message)  # noqa: SLF001  (as kombu's QoS does)
        except (RedisError, OSError):
            log.warning("messages.not_returned")
        return []


class _Channel(redis.Channel):  # type: ignore[misc]  # kombu has no types
    QoS = _Unacknowledged

    def _restore(self, message: Any, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002  (kombu's)
        raw = message._raw  # noqa: SLF001  (kombu's QoS keeps the same)
        came = message.delivery_info
        where = came["exchange"], came["routing_key"]
        with self.conn_or_acquire() as client, client.pipeline() as pipe:
            self._do_restore_message(raw, *where, pipe, leftmost)
            pipe.execute()


class _Transport(redis.Transport):  # type: ignore[misc]  # kombu has no types
    Channel = _Channel
