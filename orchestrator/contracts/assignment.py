"""
The message that gives one attempt of a task to a worker. Bytes never travel in it.
"""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from orchestrator.contracts.wire import (
    MESSAGE_VERSION,
    OPAQUE_MIME_TYPE,
    Attempt,
    ByteCount,
    Document,
    Line,
    Name,
    Seconds,
    Sha256,
    ShortName,
    Wire,
)

#: Task and attempt: what a replica has in hand.
AttemptKey = tuple[UUID, int]


class Where(Wire):
    """
    Where a replica reads the sample's bytes.

    ``http``: a path below the API's address, read with the assignment's token.
    ``path``: an absolute, read-only path on a folder that both sides see.
    ``url``: a URL signed by the store.
    """

    kind: Literal["http", "path", "url"]
    value: Line


class AssignedSample(Wire):
    """The sample of an assignment; ``file_name`` is for display only, never a path."""

    sha256: Sha256
    size: ByteCount
    file_name: Line | None = None
    where: Where


class Classification(Wire):
    """What kind of file a sample is, from its content; at first nobody knows."""

    type: Name = "unknown"
    super_type: Name = "unknown"
    platform: Name = "any"
    arch: Name = "any"
    mime_type: Name = OPAQUE_MIME_TYPE


class Assignment(Wire):
    """
    One attempt of one task.

    ``timeout_seconds`` is a duration, enforced by the replica with its own monotonic
    clock; no absolute time in a message decides anything. ``alone``: run nothing beside
    it; if the replica dies as a whole, it is known of what. ``customer``: the same for
    samples of the same customer, for this worker alone; without one, share nothing.
    """

    version: Literal[1] = MESSAGE_VERSION
    job_id: UUID
    task_id: UUID
    attempt: Attempt
    worker: ShortName
    sample: AssignedSample
    classification: Classification = Classification()
    options: Document = Field(default_factory=dict)
    alone: bool = False
    customer: UUID | None = None
    timeout_seconds: Seconds


def celery_id(task_id: UUID, attempt: int) -> str:
    """Return the Celery id of an attempt: ``<task_id>.<attempt>``."""
    return f"{task_id}.{attempt}"


def parse_celery_id(text: str) -> AttemptKey | None:
    """Read the Celery id of an attempt; ``None`` for any other text."""
    task_id, dot, attempt = text.rpartition(".")
    try:
        return (UUID(task_id), int(attempt)) if dot else None
    except ValueError:
        return None


def celery_task_name(worker: str) -> str:
    """Return the Celery task's name; one per worker, so that Flower filters by it."""
    return f"assay.analyze.{worker}"
