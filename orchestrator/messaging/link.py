"""
One connection to the broker, opened at first use and thrown away after an error.

kombu's own ways to connect retry and sleep inside the call; here a broker that is away
is an error at once, and the caller decides when to try again.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from orchestrator.messaging.errors import LIBRARY_ERRORS
from orchestrator.messaging.topology import open_connection


class Link:
    """
    A transport-level connection under kombu's ``Connection``. Not for two threads.

    Args:
        confirm_each: See ``open_connection``.
    """

    def __init__(self, broker_url: str, *, confirm_each: bool = False) -> None:
        self._connection = open_connection(broker_url, confirm_each=confirm_each)
        self._established: Any = None

    @property
    def established(self) -> Any:
        """The transport's connection; opened if it is not open."""
        if self._established is None:
            self._established = self._connection.transport.establish_connection()
        return self._established

    def channel(self) -> Any:
        """Return a new channel. Raises what the library raises."""
        return self._connection.transport.create_channel(self.established)

    def close(self) -> None:
        """Take leave of the broker; never raises."""
        established, self._established = self._established, None
        if established is not None:
            with suppress(*LIBRARY_ERRORS):
                self._connection.transport.close_connection(established)
        self._forget()

    def drop(self) -> None:
        """Throw a connection away that failed, without another word to the broker."""
        established, self._established = self._established, None
        if established is not None and hasattr(established, "collect"):
            with suppress(*LIBRARY_ERRORS):
                established.collect()
        self._forget()

    def _forget(self) -> None:
        # kombu notes on the connection what it has declared and keeps channels in the
        # transport; a new broker has neither.
        self._connection.declared_entities.clear()
        self._connection._transport = None  # noqa: SLF001 - kombu has no public way
