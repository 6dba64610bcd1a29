"""
Reading RabbitMQ's messages without believing their headers.

py-amqp decodes the properties of a message while it reads from the socket, and lets
what it trips over (text that is no UTF-8, times beyond the calendar, tables in tables)
out of whichever call reads: the message was never delivered, and comes again for ever.
"""

from __future__ import annotations

from typing import Any

from amqp import basic_message, method_framing


class Message(basic_message.Message):  # type: ignore[misc]  # it has no types
    """A message whose properties, where they cannot be read, are none."""

    properties: dict[str, Any]

    def _load_properties(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super()._load_properties(*arguments, **options)
        except Exception:  # noqa: BLE001  (whatever they are; the content type is missing)
            self.properties = {}
            return None


def read_headers_safely() -> None:
    """Let every connection of this process read messages so; py-amqp asks nobody."""
    method_framing.Message = Message
