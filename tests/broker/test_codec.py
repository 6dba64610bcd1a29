from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.contracts.wire import MESSAGE_MAX_BYTES
from orchestrator.messaging.codec import (
    ENVELOPE_MAX_BYTES,
    EXCERPT_BYTES,
    decode_amqp,
    decode_redis,
)


def envelope(**changes: Any) -> bytes:
    """Return kombu's envelope around ``{}``, with changes; ``None`` leaves one out."""
    whole = {
        "body": base64.b64encode(b"{}").decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"signature": "abc"},
        "properties": {"body_encoding": "base64"},
        **changes,
    }
    return json.dumps({k: v for k, v in whole.items() if v is not None}).encode()


def test_an_envelope_gives_its_body_and_its_headers():
    message = decode_redis(envelope())

    assert message.problem is None
    assert message.body == b"{}"
    assert message.headers == {"signature": "abc"}


@pytest.mark.parametrize("encoding", ["utf-8", None])
def test_a_body_may_travel_as_text(encoding: str | None):
    properties = {"body_encoding": encoding} if encoding else None

    message = decode_redis(envelope(body='{"ä": 1}', properties=properties))

    assert message.body == '{"ä": 1}'.encode()


PROBLEMS = {
    "garbage": (b"garbage", "not a message envelope"),
    "a list": (b"[1]", "not a message envelope"),
    "no body": (envelope(body=None), "not a message envelope"),
    "body is a number": (envelope(body=1), "not a message envelope"),
    "headers are a list": (envelope(headers=[1]), "not a message envelope"),
    "properties are text": (envelope(properties="x"), "not a message envelope"),
    "deep": (b"[" * 200_000, "not a message envelope"),
    "huge number": (b'{"body": ' + b"9" * 10_000 + b"}", "not a message envelope"),
    "pickle": (
        envelope(**{"content-type": "application/x-python-serialize"}),
        "content type 'application/x-python-serialize'",
    ),
    "no content type": (envelope(**{"content-type": None}), "content type None"),
    "binary": (
        envelope(**{"content-encoding": "binary"}),
        "content encoding 'binary'",
    ),
    "compressed": (envelope(headers={"compression": "x"}), "compressed"),
    "not base64": (envelope(body="%%%"), "body is not base64"),
    "half a surrogate pair": (
        envelope(body="\ud800", properties={"body_encoding": "utf-8"}),
        "body is not utf-8",
    ),
    "other body encoding": (
        envelope(properties={"body_encoding": ["x"]}),
        "body encoding ['x']",
    ),
    "body too large": (
        envelope(body=base64.b64encode(b"x" * (MESSAGE_MAX_BYTES + 1)).decode()),
        f"too large: {MESSAGE_MAX_BYTES + 1} bytes",
    ),
    "envelope too large": (
        b"x" * (ENVELOPE_MAX_BYTES + 1),
        f"too large: {ENVELOPE_MAX_BYTES + 1} bytes",
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_cannot_be_read_says_why_and_keeps_its_beginning(name: str):
    raw, problem = PROBLEMS[name]

    message = decode_redis(raw)

    assert message.problem == problem
    assert 0 < len(message.body) <= EXCERPT_BYTES
    assert message.headers == {}


def test_the_largest_body_passes_in_its_largest_envelope():
    body = "ä" * (MESSAGE_MAX_BYTES // 2)

    message = decode_redis(envelope(body=body, properties={"body_encoding": "utf-8"}))

    assert message.problem is None
    assert len(message.body) == MESSAGE_MAX_BYTES


def test_headers_keep_plain_values_only_and_are_always_text():
    headers = {"n": 1, "none": None, "list": [1], "half": "a\ud800"}

    assert decode_redis(envelope(headers=headers)).headers == {
        "n": 1,
        "none": None,
        "half": "a?",
    }


@given(st.binary(max_size=200))
def test_no_bytes_whatsoever_raise(raw: bytes):
    decode_redis(raw)
    decode_amqp(raw, None, None, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("body", "content-type", "content-encoding", "headers", "properties"), JSON
        ),
    )
)
def test_no_envelope_whatsoever_raises(changes: dict[str, Any]):
    decode_redis(envelope(**changes))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((b"{}", "text/plain", "utf-8", {}), "content type 'text/plain'"),
        ((b"{}", "application/json", "zip", {}), "content encoding 'zip'"),
        ((b"", "application/json", "utf-8", {"compression": "zlib"}), "compressed"),
        (
            (b"x" * (MESSAGE_MAX_BYTES + 1), "application/json", "utf-8", None),
            f"too large: {MESSAGE_MAX_BYTES + 1} bytes",
        ),
    ],
)
def test_an_amqp_message_is_checked_likewise(arguments: Any, problem: str):
    assert decode_amqp(*arguments).problem == problem


def test_an_amqp_message_gives_its_body_and_its_plain_headers():
    message = decode_amqp(
        b"{}", "application/json", "utf-8", {"signature": "abc", "table": {}}
    )

    assert message.problem is None
    assert message.body == b"{}"
    assert message.headers == {"signature": "abc"}
