"""
One connection to Redis that is spoken to without a client.

A client of redis-py looks for a connection, asks whether it can be read, and counts and
times what it does, for each command anew: several times what the command costs.
"""

from __future__ import annotations

from typing import Any


class RedisLine:
    """
    For one thread at a time. What fails is not repeated: open another.

    Args:
        connection: kombu's, to be closed with it; its settings are those of the line.

    Raises:
        Exception: redis-py's, here and by :meth:`ask`.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        pool = connection.channel().client.connection_pool
        self._wire = pool.get_connection()

    def ask(self, *words: str | bytes | float) -> Any:
        """Send one command, and return its answer as it came."""
        self._wire.send_command(*words)
        return self._wire.read_response()

    def close(self) -> None:
        """Hang up."""
        self._wire.disconnect()
        self._connection.close()
