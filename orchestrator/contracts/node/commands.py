"""
Which remote-control commands are answered: a list, so that a new one of Celery's is
refused until somebody adds it here.

Reads a command and carries out what is allowed; it sends and receives nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from celery.worker.control import Panel

from orchestrator.contracts.names import STOP_COMMAND
from orchestrator.contracts.node.messages import UnreadableError

log = logging.getLogger(__name__)

#: Each command that is answered, with those of its arguments that are listened to: what
#: Flower reads, what tells whether somebody is there, and our own.
ANSWERED: Final[Mapping[str, frozenset[str]]] = {
    "ping": frozenset(),
    "clock": frozenset(),
    "query_task": frozenset({"ids"}),
    "stats": frozenset(),
    "active_queues": frozenset(),
    "registered": frozenset(),
    "scheduled": frozenset(),
    "active": frozenset({"safe"}),
    "reserved": frozenset(),
    "revoked": frozenset(),
    "conf": frozenset({"with_defaults"}),
    STOP_COMMAND: frozenset({"attempts", "drain", "signature"}),
}

REFUSED: Final = (
    "refused: replicas and maintenance answer questions alone; to cancel, pause or"
    " drain use assay"
)

_SHOWN_OF_BROKER: Final = (
    "transport",
    "hostname",
    "port",
    "virtual_host",
    "userid",
    "heartbeat",
)

_NAME_MAX_CHARACTERS = 255


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """``reply_key``: where the answer goes, ``None`` if nobody waits for one."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    reply_key: str | None = None
    ticket: str | None = None


def read_command(body: bytes, *, node: str, reply_exchange: str) -> Command | None:
    """
    Read what came through the mailbox of *node*; ``None`` if it is for another.

    Args:
        reply_exchange: The only one that is answered to: what is written elsewhere
            would be written with our rights.

    Raises:
        UnreadableError: It is no command; the message says why, without its content.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise UnreadableError("command: not JSON") from None
    if not isinstance(found, dict):
        raise UnreadableError("command: not an object")
    # A pattern is a regular expression of the sender's, and may take for ever.
    if found.get("pattern") is not None or found.get("matcher") is not None:
        raise UnreadableError("command: by pattern")
    destination = found.get("destination")
    if destination and (not isinstance(destination, list) or node not in destination):
        return None
    arguments = found.get("arguments") or {}
    if not isinstance(arguments, dict):
        raise UnreadableError("command: its arguments are no object")
    return Command(
        name=_name(found.get("method"), "its name"),
        arguments=arguments,
        reply_key=_reply_key(found.get("reply_to"), reply_exchange),
        ticket=None
        if found.get("ticket") is None
        else _name(found["ticket"], "ticket"),
    )


def answer(command: Command, state: object) -> object:
    """
    Carry *command* out and return what is said of it; what is not listed does nothing.

    Args:
        state: Celery's, of this process.
    """
    known: Callable[..., object] | None = Panel.data.get(command.name)
    if known is None or command.name not in ANSWERED:
        # An unknown name is somebody's text, and stays out of the log.
        name = command.name if known else "unknown"
        log.warning("command.refused", extra={"command": name})
        return {"error": REFUSED}
    wanted = ANSWERED[command.name]
    arguments = {key: command.arguments[key] for key in wanted & set(command.arguments)}
    try:
        return _without_secrets(known(state, **arguments))
    except Exception as error:  # noqa: BLE001  (Celery's; whatever it is)
        kind = type(error).__name__
        log.warning("command.failed", extra={"command": command.name, "error": kind})
        return {"error": f"failed: {kind}"}


def _without_secrets(said: object) -> object:
    # Celery takes the password of the broker out of what it says of it, and leaves it
    # where the whole URL stands: of a socket as its host, of several as alternates.
    if not isinstance(said, dict) or not isinstance(said.get("broker"), dict):
        return said
    shown = {key: said["broker"].get(key) for key in _SHOWN_OF_BROKER}
    if "://" in str(shown["hostname"]):
        shown["hostname"] = None
    return {**said, "broker": shown}


def _name(value: object, what: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _NAME_MAX_CHARACTERS:
        raise UnreadableError(f"command: {what} is no text of 1 to 255 characters")
    return value


def _reply_key(reply_to: object, exchange: str) -> str | None:
    if not reply_to:
        return None
    if not isinstance(reply_to, dict) or reply_to.get("exchange") != exchange:
        raise UnreadableError("command: to be answered elsewhere")
    return _name(reply_to.get("routing_key"), "where to answer")
