"""
What a replica obeys: assignments and stops that the orchestrator signed, nothing else.

Looks at bytes and headers alone; a message is decoded after it passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.contracts.assignment import celery_task_name, parse_celery_id
from orchestrator.contracts.signature import (
    assignment_signature,
    is_one_of,
    stop_signature,
)
from orchestrator.contracts.wire import (
    MESSAGE_MAX_BYTES,
    SIGNATURE_HEADER,
    TOKEN_HEADER,
)

#: Headers of Celery's that are for people. What else Celery would obey (a time to start
#: or to expire, a time limit, a group, a chord) no assignment has, and nobody signed.
_SHOWN = ("argsrepr", "kwargsrepr", "origin")


class Gate:
    """
    Args:
        worker: The short name of the replica's worker.
        secret: Its enrolment secret.
    """

    def __init__(self, worker: str, secret: str) -> None:
        self._task_name = celery_task_name(worker)
        self._secret = secret

    def admit(self, message: Any) -> str | None:
        """
        Check a message of the worker's queue, and leave it no header that is not ours.

        Args:
            message: kombu's, of which nobody has decoded the body.

        Returns:
            Why it is not to be obeyed; ``None`` if it is.
        """
        headers = message.headers
        if not isinstance(headers, dict) or headers.get("task") != self._task_name:
            return "not an assignment of this worker"
        celery_id, token = headers.get("id"), headers.get(TOKEN_HEADER)
        if not isinstance(celery_id, str) or parse_celery_id(celery_id) is None:
            return "no id of an attempt"
        if not isinstance(token, str) or not token:
            return "no token"
        body = _bytes(message.body)
        if body is None or len(body) > MESSAGE_MAX_BYTES:
            return "no body, or one that is too large"
        expected = assignment_signature(
            self._secret, celery_id=celery_id, token=token, body=body
        )
        if not is_one_of(headers.get(SIGNATURE_HEADER), [expected]):
            return "not signed with this worker's secret"
        message.headers = _clean(headers, celery_id, token)
        return None

    def is_stop(self, replica: str, attempts: Sequence[str], signature: object) -> bool:
        """Whether the orchestrator told *replica* to let these attempts go."""
        expected = stop_signature(self._secret, replica=replica, attempts=attempts)
        return is_one_of(signature, [expected])


def _bytes(body: object) -> bytes | None:
    # py-amqp decodes text; its bytes are what was signed.
    if isinstance(body, str):
        return body.encode("utf-8", "replace")
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    return None


def _clean(headers: dict[str, Any], celery_id: str, token: str) -> dict[str, Any]:
    shown = {name: headers.get(name) for name in _SHOWN}
    return {
        **{name: text for name, text in shown.items() if isinstance(text, str)},
        "lang": "py",
        "task": headers["task"],
        "id": celery_id,
        "root_id": celery_id,
        "parent_id": None,
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "retries": 0,
        "timelimit": [None, None],
        "ignore_result": True,
        TOKEN_HEADER: token,
    }
