"""
One connection to the broker, opened at first use and thrown away after an error.

kombu's own ways to connect retry and sleep inside the call; here a broker that is away
is an error at once, and the caller decides when to try again.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from orchestrator.contracts.amqp_link import BrokerConnection
from orchestrator.messaging.errors import LIBRARY_ERRORS
from orchestrator.messaging.topology import open_connection


class Link:
    """
    A transport-level connection under kombu's ``Connection``. Not for two threads.

    Every new one gets a new ``Connection``: on the old one kombu has noted what it
    declared, and a broker that was restarted has none of it.

    Args:
        confirm_each: As :func:`open_connection` has it.
    """

    def __init__(self, broker_url: str, *, confirm_each: bool = False) -> None:
        self._broker_url = broker_url
        self._confirm_each = confirm_each
        # So that a URL that cannot be read is an error now, not at the first message.
        self._transport: Any = self._open().transport
        self._established: Any = None

    def channel(self) -> Any:
        """Return a new channel; connects if needed. Raises what the library raises."""
        if self._established is None:
            self._transport = self._open().transport
            self._established = self._transport.establish_connection()
        return self._transport.create_channel(self._established)

    def close(self) -> None:
        """Take leave of the broker; never raises, and waits for no answer."""
        established, self._established = self._established, None
        if established is not None:
            with suppress(*LIBRARY_ERRORS):
                self._transport.close_connection(established)

    def _open(self) -> BrokerConnection:
        return open_connection(self._broker_url, confirm_each=self._confirm_each)
