"""
Tells a replica which attempts are over, and whether it shall take more, by a Celery
control command.

Best effort by design: a lost one costs a heartbeat, so nothing is stored or repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from kombu import Producer
from kombu.pidbox import Mailbox

from orchestrator.contracts.assignment import celery_id
from orchestrator.contracts.names import STOP_COMMAND
from orchestrator.contracts.signature import joined, stop_signature
from orchestrator.messaging.errors import (
    BrokerError,
    BrokerUnavailableError,
    broker_errors,
)
from orchestrator.messaging.link import Link

#: The namespace of the mailbox that every Celery worker listens to (its setting
#: ``control_exchange``).
_MAILBOX: Final = "celery"


class Stopper:
    """One per process and thread. Connects at first use, and again after an error."""

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        # Confirmed, or what goes into a connection that is frozen would seem sent.
        self._link = Link(broker_url, confirm_each=True)
        self._exchange = Mailbox(_MAILBOX, type="fanout").exchange
        self._producer: Producer | None = None

    def stop(
        self,
        replica: str,
        attempts: Sequence[tuple[UUID, int]],
        *,
        secrets: Sequence[str],
        drain: bool | None = None,
    ) -> None:
        """
        Send the command to the node *replica*; wait for no answer.

        Args:
            attempts: ``(task_id, attempt)`` of what the replica should let go.
            secrets: The enrolment secrets of its worker, one for each of our keys.
            drain: Whether it shall take nothing more; ``None`` says nothing of it.

        Raises:
            BrokerUnavailableError: Not sent; the replica's next heartbeat asks again.
            ForeignQueueError: Nor then: Celery's exchange is none of ours.
        """
        ids = [celery_id(task_id, attempt) for task_id, attempt in attempts]
        signature = joined(
            stop_signature(secret, replica=replica, attempts=ids, drain=drain)
            for secret in secrets
        )
        said = {} if drain is None else {"drain": drain}
        arguments = {"attempts": ids, **said, "signature": signature}
        try:
            self._send(arguments, node=replica)
        except BrokerUnavailableError:
            # Stops are rare: the broker may have given an idle connection up. Once more
            # on a new one, for a second copy stops nothing twice.
            self._send(arguments, node=replica)

    def close(self) -> None:
        """Take leave of the broker."""
        self._producer = None
        self._link.close()

    def _send(self, arguments: dict[str, Any], *, node: str) -> None:
        try:
            with broker_errors(self._broker_url):
                self._broadcast(arguments, node=node)
        except BrokerError:
            self.close()
            raise

    def _broadcast(self, arguments: dict[str, Any], *, node: str) -> None:
        # Not ``app.control.broadcast``: it retries for ever while the broker is away.
        if self._producer is None:
            self._producer = Producer(self._link.channel())
        self._producer.publish(
            {
                "method": STOP_COMMAND,
                "arguments": arguments,
                "destination": [node],
                "pattern": None,
                "matcher": None,
            },
            exchange=self._exchange.name,
            declare=[self._exchange],
            headers={"clock": 0, "expires": 0},
            serializer="json",
        )
