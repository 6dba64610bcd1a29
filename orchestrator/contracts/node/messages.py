"""
What a task message may look like before Celery or kombu gets to see it.

Sizes first, then types; kombu would inflate, decode and build before it looks, and
Celery follows whatever else a message asks for: other tasks, times, callbacks. Reasons
are constants and content is logged nowhere: a length and the beginning of a hash tell
two messages apart.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from orchestrator.contracts.wire import MESSAGE_MAX_BYTES

log = logging.getLogger(__name__)

#: Bytes of an envelope on Redis. Writing a body into JSON at most triples it (two bytes
#: become ``\\uXXXX``); base64 takes less. The rest is for headers.
ENVELOPE_MAX_BYTES: Final = 3 * MESSAGE_MAX_BYTES + 65_536

_TEXT_MAX_CHARACTERS = 4096
_PRIORITY_MAX = 255
#: A tuple, not a set: what is looked up comes off the wire and may be a list.
_UTF_8 = (None, "utf-8", "UTF-8", "utf8")

#: Headers of Celery's protocol 2 that a task of ours has. What is not named here is
#: taken away: Celery makes attributes of all that it finds.
_TEXTS = ("lang", "shadow", "root_id", "parent_id", "argsrepr", "kwargsrepr", "origin")
#: We never ask for these, and Celery would obey whoever does.
_NEVER = (
    "eta",
    "expires",
    "group",
    "group_index",
    "stamped_headers",
    "stamps",
    "retries",
)
_OURS = ("assay-", "signature")


class Message(Protocol):
    """What is asked of kombu's messages."""

    body: Any
    content_type: Any
    content_encoding: Any
    headers: Any
    properties: Any


class UnreadableError(Exception):
    """A message is not one of ours; says why, and nothing of what is in it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Takes:
    """The one task that a process runs, and its keyword arguments, all of them."""

    task: str
    arguments: frozenset[str]


def _nothing() -> None:
    """Be told that a message was taken up, and do nothing about it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parcel:
    """
    A message as it came, of either broker.

    ``note_taken_up``: to be called once, when somebody begins to do what it asks.
    """

    content: bytes
    headers: Any
    content_type: Any
    content_encoding: Any
    note_taken_up: Callable[[], None] = _nothing


def note_discarded(reason: str, content: bytes) -> None:
    """Write down that a message was dropped, and nothing of what was in it."""
    fields = {
        "reason": reason,
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest()[:12],
    }
    log.warning("message.discarded", extra=fields)


def content_of(message: Message) -> bytes:
    """Return the body as bytes, for its length and its hash."""
    body = message.body
    if isinstance(body, str):
        return body.encode("utf-8", "replace")
    return bytes(body) if isinstance(body, bytes | bytearray | memoryview) else b""


def check_envelope(raw: bytes, *, queue: str | None) -> None:
    """
    See whether kombu can make a message of what stood in a list of Redis, or was sent.

    Args:
        queue: As :func:`read_envelope` has it; ``None`` for what was sent to many.

    Raises:
        UnreadableError: It is not what kombu sends, or not plain JSON.
    """
    read_envelope(raw, queue=queue)


def read_envelope(
    raw: bytes, *, queue: str | None, note_taken_up: Callable[[], None] = _nothing
) -> Parcel:
    """
    Return the message that stood in a list of Redis.

    Args:
        queue: In which it was; it must say so itself, for kombu puts back what was not
            acknowledged where the message says.

    Raises:
        UnreadableError: It is not what kombu sends, or not plain JSON.
    """
    if len(raw) > ENVELOPE_MAX_BYTES:
        raise UnreadableError("too large")
    try:
        envelope = json.loads(raw)
    except (ValueError, RecursionError):
        raise UnreadableError("not a message envelope") from None
    envelope = _object(envelope)
    headers = _object(envelope.get("headers"))
    properties = _object(envelope.get("properties"))
    came = _object(properties.get("delivery_info"))
    tag_is_text = _is_text(properties.get("delivery_tag"))
    if not tag_is_text or not isinstance(envelope.get("body"), str):
        raise UnreadableError("not a message envelope")
    if queue is not None and (came.get("exchange"), came.get("routing_key")) != (
        "",
        queue,
    ):
        raise UnreadableError("not of this queue")
    content_type = envelope.get("content-type")
    content_encoding = envelope.get("content-encoding")
    _check_plain(content_type, content_encoding, headers)
    return Parcel(
        content=_decode(envelope["body"], properties.get("body_encoding")),
        headers=headers,
        content_type=content_type,
        content_encoding=content_encoding,
        note_taken_up=note_taken_up,
    )


def read_call(parcel: Parcel, takes: Takes) -> dict[str, Any]:
    """
    Return the keyword arguments with which *parcel* calls the task of this process.

    Raises:
        UnreadableError: It is not that task, called as it is.
    """
    if len(parcel.content) > MESSAGE_MAX_BYTES:
        raise UnreadableError("too large")
    headers = _object(parcel.headers)
    _check_plain(parcel.content_type, parcel.content_encoding, headers)
    return _read_call(parcel.content, takes)


def check_plain(message: Message) -> bytes:
    """
    Return the body of a message that is JSON, not too large and not compressed.

    Raises:
        UnreadableError: It is not.
    """
    content = content_of(message)
    if len(content) > MESSAGE_MAX_BYTES:
        raise UnreadableError("too large")
    headers = _object(message.headers)
    _check_plain(message.content_type, message.content_encoding, headers)
    return content


def check_task(message: Message, takes: Takes) -> dict[str, object]:
    """
    Return the headers with which Celery may have *message*.

    Raises:
        UnreadableError: It is not the task that this process takes, called as it is.
    """
    content = check_plain(message)
    headers = message.headers
    if headers.get("task") != takes.task:
        raise UnreadableError("not a task of ours")
    if not _is_text(headers.get("id")) or not headers["id"]:
        raise UnreadableError("header: id")
    _check_properties(_object(message.properties))
    kept = _headers(headers)
    _read_call(content, takes)
    return kept


def _headers(headers: Mapping[str, object]) -> dict[str, object]:
    for name in _TEXTS:
        if headers.get(name) is not None and not _is_text(headers[name]):
            raise UnreadableError(f"header: {name}")
    for name in _NEVER:
        if headers.get(name):
            raise UnreadableError(f"header: {name}")
    limits = headers.get("timelimit")
    if limits is not None and limits not in ([None, None], (None, None)):
        raise UnreadableError("header: timelimit")
    known = {"task", "id", "timelimit", *_TEXTS, *_NEVER}
    kept = {
        name: value
        for name, value in headers.items()
        if name in known or (str(name).startswith(_OURS) and _is_text(value))
    }
    return {**kept, "ignore_result": True}


def _read_call(content: bytes, takes: Takes) -> dict[str, Any]:
    try:
        call = json.loads(content)
    except (ValueError, RecursionError):
        raise UnreadableError("body: not JSON") from None
    if not isinstance(call, list) or len(call) != 3:  # noqa: PLR2004  (protocol 2)
        raise UnreadableError("body: not arguments")
    positional, named, embedded = call
    if positional != [] or not isinstance(named, dict) or set(named) != takes.arguments:
        raise UnreadableError("body: other arguments")
    if not isinstance(embedded, dict) or any(embedded.values()):
        # Tasks that Celery would send, with our rights, once this one is done.
        raise UnreadableError("body: more than a call")
    return named


def _check_properties(properties: Mapping[str, object]) -> None:
    for name in ("correlation_id", "reply_to"):
        if properties.get(name) is not None and not _is_text(properties[name]):
            raise UnreadableError(f"property: {name}")
    priority = properties.get("priority")
    if priority is None:
        return
    if type(priority) is not int or not 0 <= priority <= _PRIORITY_MAX:
        raise UnreadableError("property: priority")


def _check_plain(
    content_type: object, content_encoding: object, headers: Mapping[str, object]
) -> None:
    if content_type != "application/json":
        raise UnreadableError("content type")
    if content_encoding not in _UTF_8:
        raise UnreadableError("content encoding")
    if headers.get("compression"):
        raise UnreadableError("compressed")


def _decode(body: str, encoding: object) -> bytes:
    try:
        if encoding == "base64":
            return base64.b64decode(body, validate=True)
        if encoding in _UTF_8:
            return body.encode()
    except (binascii.Error, ValueError):
        pass
    raise UnreadableError("body encoding")


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UnreadableError("not a message envelope")
    return value


def _is_text(value: object) -> bool:
    if not isinstance(value, str) or len(value) > _TEXT_MAX_CHARACTERS:
        return False
    # Half a surrogate pair can be neither sent on nor written to a log.
    return "\0" not in value and value.encode("utf-8", "replace").decode() == value
