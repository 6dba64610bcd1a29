"""
The heartbeat of a replica, and the canary of the orchestrator.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field, JsonValue

from orchestrator.contracts.report import ReplicaId
from orchestrator.contracts.wire import MESSAGE_VERSION, ShortName, Wire


class Held(Wire):
    """An attempt that a replica has in hand."""

    task_id: UUID
    attempt: int = Field(ge=1)
    state: Literal["received", "running", "unconfirmed"]


class Manifest(Wire):
    """
    What a version of a worker is and takes; stored once per (worker, version).

    ``accepts``: patterns matched against the classification: ``*``, a type (``pe``), a
    super type (``executable``) or a MIME type (``application/*``); any one suffices.
    ``max_tlp``: the most restricted TLP that this worker may see.
    """

    localized_names: dict[str, str] = Field(default_factory=dict)
    localized_descriptions: dict[str, str] = Field(default_factory=dict)
    result_schema: dict[str, JsonValue] = Field(default_factory=dict)
    accepts: tuple[str, ...] = ("*",)
    max_bytes: int | None = Field(default=None, ge=0)
    run_seconds: float = Field(default=120.0, gt=0)
    max_tlp: Literal["clear", "green", "amber", "red"] = "red"
    sends_data_out: bool = False


class Alive(Wire):
    """
    Sent every heartbeat. ``sequence`` grows by one; one not above the last is stale.

    ``manifest`` comes in the first and then once a minute. ``leaving`` is true in the
    last one of a replica that stops: it wants no more work.
    """

    version: Literal[1] = MESSAGE_VERSION
    type: Literal["alive"] = "alive"
    replica: ReplicaId
    sequence: int = Field(ge=1)
    worker: ShortName
    worker_version: str = Field(max_length=128)
    slots: int = Field(ge=1, le=1024)
    holds: tuple[Held, ...] = ()
    manifest: Manifest | None = None
    leaving: bool = False


class Canary(Wire):
    """The database's time, sent through ``reports`` by maintenance to see it arrive."""

    version: Literal[1] = MESSAGE_VERSION
    type: Literal["canary"] = "canary"
    sent_at: datetime
    token: str = Field(min_length=1, max_length=256)


def body_signature(secret: str, body: bytes) -> str:
    """
    Return the hex HMAC-SHA256 of a body's bytes, as the header ``signature`` has it.

    Args:
        secret: The worker's enrolment secret, as ``assay worker register`` printed it.
        body: The bytes exactly as they travel.
    """
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
