"""
Celery's consumer, on which nothing that comes has any effect that was not meant.

Where Celery prints what it cannot read, this says how long it was; where Celery obeys
every command it knows, this asks the list. Which task is taken is the application's
attribute ``takes``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from amqp.exceptions import ResourceLocked
from celery.worker.consumer import Consumer
from celery.worker.consumer.control import Control
from celery.worker.pidbox import Pidbox
from kombu import compression
from kombu.exceptions import MessageStateError
from typing_extensions import override

from orchestrator.contracts.node import refusals
from orchestrator.contracts.node.commands import answer, read_command
from orchestrator.contracts.node.messages import (
    Takes,
    UnreadableError,
    check_plain,
    check_task,
    content_of,
    note_discarded,
)

log = logging.getLogger(__name__)

#: Celery's own remote control, its talk among workers, and the dozens of queues and
#: exchanges for ETAs, which Assay does not use and a worker has no right to declare.
_NOT_OURS = (":Control", ":Gossip", ":DelayedDelivery")


#: Seconds from one try to have the mailbox to the next, while it is ours of before.
_LOCKED_SECONDS = 1.0


class _Box(Pidbox):  # type: ignore[misc]  # Celery has no types
    """The mailbox of this node."""

    def start(self, c: Any) -> None:
        self.node.channel = c.connection.channel()
        try:
            # ``on_message`` is called before kombu decodes anything.
            self.consumer = self.node.Consumer(
                on_message=self._receive, on_decode_error=self._drop
            )
            self.consumer.consume()
        except ResourceLocked as error:
            # RabbitMQ still believes in our connection of before, which is frozen. With
            # this error Celery would end, or try again at once and for ever.
            time.sleep(_LOCKED_SECONDS)
            raise ConnectionResetError("the mailbox is still locked") from error

    def _receive(self, message: Any) -> None:
        self._forward_clock()
        try:
            self._obey(check_plain(message))
        except UnreadableError as error:
            note_discarded(str(error), content_of(message))
        except Exception as error:  # noqa: BLE001  (whatever came, we go on)
            kind = type(error).__name__
            log.warning("command.failed", extra={"error": kind})
            self.reset()

    def _obey(self, body: bytes) -> None:
        exchange = self.node.mailbox.reply_exchange.name
        command = read_command(body, node=self.hostname, reply_exchange=exchange)
        if command is None:
            return
        said = answer(command, self.node.state)
        if command.reply_key is not None:
            self.node.reply(
                {self.hostname: said},
                exchange=exchange,
                routing_key=command.reply_key,
                ticket=command.ticket,
            )

    def _drop(self, message: Any, _: Exception) -> None:
        note_discarded("undecodable", content_of(message))


class RemoteControl(Control):  # type: ignore[misc]  # Celery has no types
    """Starts and stops that mailbox where Celery would its own."""

    def __init__(self, c: Any, **options: Any) -> None:
        super().__init__(c, **options)
        self.box = _Box(c)
        self.start = self.box.start
        self.stop = self.box.stop
        self.shutdown = self.box.shutdown


class NodeConsumer(Consumer):  # type: ignore[misc]  # Celery has no types
    """Takes the one task of its application, and drops everything else in silence."""

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]  # as above
        default_steps = (
            *(
                step
                for step in Consumer.Blueprint.default_steps
                if not step.endswith(_NOT_OURS)
            ),
            RemoteControl,
        )

    def __init__(self, *arguments: Any, **options: Any) -> None:
        _forget_how_to_inflate()
        super().__init__(*arguments, **options)

    @override
    def on_connection_error_after_connected(self, exc: Exception) -> None:
        if isinstance(exc, self.connection_errors):
            super().on_connection_error_after_connected(exc)
            return
        # The broker is there, and does not do what it is asked. Celery would call its
        # connection lost, and ask again at once.
        with refusals.in_our_words():
            super().on_connection_error_after_connected(exc)
        refusals.complain(exc, self.app)
        refusals.pause()

    @override
    def on_connection_error_before_connected(self, exc: Exception) -> None:
        # It was there a moment ago, and may refuse even that one subscribes.
        if isinstance(exc, self.connection_errors):
            super().on_connection_error_before_connected(exc)
            return
        refusals.complain(exc, self.app)
        refusals.pause()

    def create_task_handler(self, *arguments: Any, **options: Any) -> Any:
        handle = super().create_task_handler(*arguments, **options)
        takes: Takes = self.app.takes

        def take(message: Any) -> None:
            try:
                message.headers = check_task(message, takes)
                self._hand_on(handle, message)
            except UnreadableError as error:
                self.discard(str(error), message)

        return take

    def on_unknown_message(self, _: Any, message: Any) -> None:
        self.discard("unknown message", message)

    def on_unknown_task(self, _: Any, message: Any, __: Exception) -> None:
        self.discard("unknown task", message)

    def on_invalid_task(self, _: Any, message: Any, __: Exception) -> None:
        self.discard("invalid task", message)

    def on_decode_error(self, message: Any, _: Exception) -> None:
        self.discard("undecodable", message)

    def _hand_on(self, handle: Callable[[Any], object], message: Any) -> None:
        try:
            handle(message)
        except (*self.connection_errors, *self.channel_errors):
            # The broker's trouble, and Celery's to mend.
            raise
        except Exception as error:
            raise UnreadableError(
                f"refused by Celery: {type(error).__name__}"
            ) from error

    def discard(self, reason: str, message: Any) -> None:
        """Drop a message that is not ours, and say so."""
        note_discarded(reason, content_of(message))
        try:
            message.reject_log_error(log, self.connection_errors)
        except MessageStateError:
            # Celery has acknowledged it before it found out.
            return


def _forget_how_to_inflate() -> None:
    """
    Let kombu inflate nothing in this process, which is sent nothing compressed.

    It would do so when it makes a message, before anybody can look at a size.
    """
    for name in compression.encoders():
        encoder, _ = compression.get_encoder(name)
        compression.register(encoder, _refuse, name)


def _refuse(_: object) -> bytes:
    raise UnreadableError("compressed")
