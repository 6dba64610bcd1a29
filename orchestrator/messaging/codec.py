"""
Bytes of the wire → headers and body, without trusting either.

Sizes first; nothing is decompressed or unpickled, and no content type goes unchecked
(kombu would decompress before it looks). The body itself is parsed by the caller.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from orchestrator.contracts.wire import MESSAGE_MAX_BYTES

#: Bytes of a message that cannot be read which are kept for people.
EXCERPT_BYTES: Final = 4096

#: Bytes of an envelope on Redis. Writing a body into JSON at most triples it (two bytes
#: become ``\\uXXXX``); base64 takes less. The rest is for headers.
ENVELOPE_MAX_BYTES: Final = 3 * MESSAGE_MAX_BYTES + 65_536

#: A tuple, not a set: what is looked up comes off the wire and may be a list.
_TEXT_ENCODINGS: Final = (None, "utf-8", "UTF-8", "utf8")


@dataclass(frozen=True, kw_only=True, slots=True)
class RawMessage:
    """
    One message as it came.

    ``problem``: why it cannot be read, or ``None``. With a problem, ``body`` is the
    beginning of the raw bytes, at most ``EXCERPT_BYTES``.
    """

    body: bytes
    headers: Mapping[str, JsonValue]
    problem: str | None = None


class _UnreadableError(Exception):
    """What is wrong with a message; becomes ``RawMessage.problem``."""


def decode_redis(raw: bytes) -> RawMessage:
    """Read kombu's JSON envelope. Never raises."""
    if len(raw) > ENVELOPE_MAX_BYTES:
        return too_large(raw, size_bytes=len(raw))
    try:
        envelope = _envelope(raw)
        headers = _scalars(_mapping(envelope.get("headers") or {}))
        _check_type(envelope.get("content-type"), envelope.get("content-encoding"))
        _check_headers(headers)
        body = _redis_body(envelope)
    except _UnreadableError as exc:
        return _unreadable(raw, str(exc))
    return _sized(body, headers)


def decode_amqp(
    body: bytes | str,
    content_type: str | None,
    content_encoding: str | None,
    headers: Mapping[str, object] | None,
) -> RawMessage:
    """Read an AMQP message's properties. Never raises."""
    raw = body.encode() if isinstance(body, str) else bytes(body)
    plain = _scalars(headers or {})
    if len(raw) > MESSAGE_MAX_BYTES:
        return too_large(raw, size_bytes=len(raw))
    try:
        _check_type(content_type, content_encoding)
        _check_headers(plain)
    except _UnreadableError as exc:
        return _unreadable(raw, str(exc))
    return RawMessage(body=raw, headers=plain)


def too_large(raw: bytes, *, size_bytes: int) -> RawMessage:
    """Return what stands for a message of *size_bytes* that begins with *raw*."""
    return _unreadable(raw, f"too large: {size_bytes} bytes")


def _unreadable(raw: bytes, problem: str) -> RawMessage:
    return RawMessage(body=raw[:EXCERPT_BYTES], headers={}, problem=problem)


def _sized(body: bytes, headers: dict[str, JsonValue]) -> RawMessage:
    if len(body) > MESSAGE_MAX_BYTES:
        return too_large(body, size_bytes=len(body))
    return RawMessage(body=body, headers=headers)


def _envelope(raw: bytes) -> dict[str, JsonValue]:
    try:
        # RecursionError: thousands of nested brackets; ValueError: all the rest,
        # bytes that are not UTF-8 and numbers of a million digits included.
        envelope = json.loads(raw)
    except (ValueError, RecursionError):
        raise _UnreadableError("not a message envelope") from None
    if not isinstance(envelope, dict) or "body" not in envelope:
        raise _UnreadableError("not a message envelope")
    return envelope


def _mapping(value: JsonValue) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise _UnreadableError("not a message envelope")
    return value


def _check_type(content_type: object, content_encoding: object) -> None:
    if content_type != "application/json":
        raise _UnreadableError(f"content type {_shown(content_type)}")
    if content_encoding not in _TEXT_ENCODINGS:
        raise _UnreadableError(f"content encoding {_shown(content_encoding)}")


def _check_headers(headers: Mapping[str, JsonValue]) -> None:
    if headers.get("compression"):
        raise _UnreadableError("compressed")


def _redis_body(envelope: dict[str, JsonValue]) -> bytes:
    properties = _mapping(envelope.get("properties") or {})
    body, encoding = envelope["body"], properties.get("body_encoding")
    if not isinstance(body, str):
        raise _UnreadableError("not a message envelope")
    try:
        if encoding == "base64":
            return base64.b64decode(body, validate=True)
        if encoding in _TEXT_ENCODINGS:
            return body.encode()
    except (binascii.Error, ValueError):
        raise _UnreadableError(f"body is not {encoding or 'utf-8'}") from None
    raise _UnreadableError(f"body encoding {_shown(encoding)}")


def _scalars(headers: Mapping[str, object]) -> dict[str, JsonValue]:
    """
    Keep the headers that are one plain value; ours all are.

    Text that is no UTF-8 (half a surrogate pair) would raise far from here, in a digest
    or in the database, so it is replaced.
    """
    return {
        _text(str(name)): _text(value) if isinstance(value, str) else value
        for name, value in headers.items()
        if value is None or isinstance(value, str | int | float | bool)
    }


def _text(value: str) -> str:
    return value.encode("utf-8", "replace").decode()


def _shown(value: object) -> str:
    return repr(value)[:100]
