"""
What a replica obeys: assignments and stops that the orchestrator signed, nothing else.

Looks at bytes and headers alone; a message is decoded after it passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.contracts.assignment import (
    AttemptKey,
    celery_task_name,
    parse_celery_id,
)
from orchestrator.contracts.node.messages import (
    Parcel,
    Takes,
    UnreadableError,
    read_call,
)
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


# By identity: a copy of one in hand may come, and is another message.
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Message:
    """
    An assignment that was signed for this worker, and not looked into yet.

    ``celery_id``: ``key`` as Celery has it. ``shown``: its arguments, for people.
    """

    celery_id: str
    key: AttemptKey
    token: str
    assignment: object
    shown: str
    parcel: Parcel


class Gate:
    """
    Args:
        worker: The short name of the replica's worker.
        secret: Its enrolment secret.
    """

    def __init__(self, worker: str, secret: str) -> None:
        task = celery_task_name(worker)
        self._takes = Takes(task=task, arguments=frozenset({"assignment"}))
        self._secret = secret

    def read(self, parcel: Parcel) -> Message:
        """
        Read a message of the worker's queue.

        Raises:
            UnreadableError: It is not to be obeyed; says why, and nothing of what is in
                it.
        """
        headers = parcel.headers
        if not isinstance(headers, dict) or headers.get("task") != self._takes.task:
            raise UnreadableError("not an assignment of this worker")
        celery_id, token = headers.get("id"), headers.get(TOKEN_HEADER)
        key = parse_celery_id(celery_id) if isinstance(celery_id, str) else None
        if key is None or not isinstance(celery_id, str):
            raise UnreadableError("no id of an attempt")
        if not isinstance(token, str) or not token:
            raise UnreadableError("no token")
        if len(parcel.content) > MESSAGE_MAX_BYTES:
            raise UnreadableError("too large")
        expected = assignment_signature(
            self._secret, celery_id=celery_id, token=token, body=parcel.content
        )
        if not is_one_of(headers.get(SIGNATURE_HEADER), [expected]):
            raise UnreadableError("not signed with this worker's secret")
        shown = headers.get("kwargsrepr")
        return Message(
            celery_id=celery_id,
            key=key,
            token=token,
            assignment=read_call(parcel, self._takes)["assignment"],
            shown=shown if isinstance(shown, str) else "",
            parcel=parcel,
        )

    def is_stop(
        self,
        replica: str,
        attempts: Sequence[str],
        signature: object,
        *,
        drain: bool | None,
    ) -> bool:
        """Whether the orchestrator told *replica* to let these attempts go, or so."""
        expected = stop_signature(
            self._secret, replica=replica, attempts=attempts, drain=drain
        )
        return is_one_of(signature, [expected])
