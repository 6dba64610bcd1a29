"""
Kombu's envelope of a message in a list of Redis, written without kombu.

Kombu makes a client for each batch, and three documents for each message. What reads it
is kombu's, or ours; a test compares it with what kombu writes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from uuid import uuid4

_TYPE = {"content-encoding": "utf-8", "content-type": "application/json"}


def redis_envelope(
    body: bytes,
    headers: Mapping[str, object],
    *,
    queue: str,
    properties: Mapping[str, object] | None = None,
) -> str:
    """
    Return what to push for a message to *queue*.

    Args:
        body: JSON.
        properties: Of AMQP, beside those that say where it goes.
    """
    envelope = {
        "body": base64.b64encode(body).decode(),
        **_TYPE,
        "headers": headers,
        "properties": {
            **(properties or {}),
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
        },
    }
    return json.dumps(envelope)
