"""
An assignment as a Celery task message, protocol 2, built without Celery's task classes.

Celery's builder costs 110 µs a message, most of it for features that no assignment
uses. The headers are the same, key by key; a test compares them with Celery's.
"""

from __future__ import annotations

import os
import socket
from typing import Final

from orchestrator.contracts.assignment import celery_id, celery_task_name
from orchestrator.contracts.signature import assignment_signature, joined
from orchestrator.contracts.wire import SIGNATURE_HEADER, TOKEN_HEADER
from orchestrator.messaging.outgoing import Outgoing

#: Celery shows who sent a task in this form.
_ORIGIN: Final = f"gen{os.getpid()}@{socket.gethostname()}"

_EMBED: Final = '{"callbacks": null, "errbacks": null, "chain": null, "chord": null}'


def task_body(message: Outgoing) -> str:
    """Return ``[args, kwargs, embed]`` as JSON; the assignment is JSON already."""
    return f'[[], {{"assignment": {message.body}}}, {_EMBED}]'


def task_headers(message: Outgoing, body: str) -> dict[str, object]:
    """
    Return the headers of protocol 2, and ours, which Flower never shows.

    Args:
        body: What :func:`task_body` returned, which is signed.
    """
    task_id = celery_id(message.task_id, message.attempt)
    return {
        "lang": "py",
        "task": celery_task_name(message.worker),
        "id": task_id,
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "group_index": None,
        "retries": 0,
        "timelimit": [None, None],
        "root_id": task_id,
        "parent_id": None,
        "argsrepr": "()",
        "kwargsrepr": _shown_in_flower(message),
        "origin": _ORIGIN,
        "ignore_result": True,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
        TOKEN_HEADER: message.token,
        SIGNATURE_HEADER: joined(
            assignment_signature(
                secret, celery_id=task_id, token=message.token, body=body.encode()
            )
            for secret in message.secrets
        ),
    }


def task_properties(message: Outgoing) -> dict[str, str]:
    """Return the AMQP properties that Celery sets."""
    task_id = celery_id(message.task_id, message.attempt)
    return {"correlation_id": task_id, "reply_to": ""}


def _shown_in_flower(message: Outgoing) -> str:
    """Name job, task and sample: enough to search by, nothing of the content."""
    shown = {
        "job_id": str(message.job_id),
        "task_id": str(message.task_id),
        "sample": message.sample_sha256,
    }
    return repr(shown)
