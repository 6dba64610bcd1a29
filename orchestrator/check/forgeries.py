"""
What somebody may put into a worker's queue who may write to it, and what none obeys.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.check.desk import Desk, Given, merged
from orchestrator.contracts.signature import assignment_signature
from orchestrator.contracts.wire import (
    MESSAGE_MAX_BYTES,
    SIGNATURE_HEADER,
    TOKEN_HEADER,
)
from orchestrator.messaging.task_message import task_body

Forge = Callable[[Desk, Given, str], None]


def _unsigned(desk: Desk, given: Given, _: str) -> None:
    desk.forge(given, headers={SIGNATURE_HEADER: ""})


def _of_another(desk: Desk, given: Given, _: str) -> None:
    desk.forge(given, headers={SIGNATURE_HEADER: "0" * 64})


def _other_body(desk: Desk, given: Given, _: str) -> None:
    # Signed as it was, and then asked to do something else.
    body = task_body(given.outgoing).replace('"attempt":1', '"attempt":2')
    desk.forge(given, body=body.encode())


def _other_token(desk: Desk, given: Given, _: str) -> None:
    desk.forge(given, headers={TOKEN_HEADER: "another"})


def _other_id(desk: Desk, given: Given, _: str) -> None:
    desk.forge(given, headers={"id": f"{given.outgoing.task_id}.7"})


def _no_json(desk: Desk, given: Given, secret: str) -> None:
    _signed(desk, given, secret, b"\x80\x04no json")


def _not_a_call(desk: Desk, given: Given, secret: str) -> None:
    _signed(desk, given, secret, b'{"assignment": 1}')


def _too_large(desk: Desk, given: Given, secret: str) -> None:
    extra = {"options": {"filler": "x" * (MESSAGE_MAX_BYTES + 1)}}
    body = f'[[], {{"assignment": {merged(given.outgoing.body, extra)}}}, {{}}]'
    _signed(desk, given, secret, body.encode())


def _inflated(desk: Desk, given: Given, secret: str) -> None:
    body = gzip.compress(task_body(given.outgoing).encode())
    _signed(desk, given, secret, body, {"compression": "application/x-gzip"})


def _pickled(desk: Desk, given: Given, _: str) -> None:
    desk.forge(
        given,
        body=b"cos\nsystem\n(S'true'\ntR.",
        content_type="application/x-python-serialize",
        content_encoding="binary",
    )


def _signed(
    desk: Desk,
    given: Given,
    secret: str,
    body: bytes,
    headers: Mapping[str, Any] | None = None,
) -> None:
    # As the orchestrator would sign it, who never sends such a thing.
    signature = assignment_signature(
        secret,
        celery_id=f"{given.outgoing.task_id}.{given.outgoing.attempt}",
        token=given.outgoing.token,
        body=body,
    )
    signed = {SIGNATURE_HEADER: signature, **(headers or {})}
    desk.forge(given, body=body, headers=signed)


#: Each, and what is wrong with it.
FORGERIES: Mapping[str, Forge] = {
    "without a signature": _unsigned,
    "with another's signature": _of_another,
    "with another body than was signed": _other_body,
    "with another token than was signed": _other_token,
    "with another id than was signed": _other_id,
    "that is no JSON": _no_json,
    "that is no call of a task": _not_a_call,
    "that is too large": _too_large,
    "that is compressed": _inflated,
    "of Python's pickle": _pickled,
}
