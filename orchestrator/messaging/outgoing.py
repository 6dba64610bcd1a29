"""
What the dispatcher hands over, and what it gets back. Values only: no broker in here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Outgoing:
    """
    One assignment on its way.

    ``job_id`` and ``sample_sha256``: for people, in Flower. ``body``: the assignment's
    JSON, as ``Assignment.model_dump_json()`` wrote it.
    ``secrets``: the worker's, one for each of our keys; each signs it.
    """

    worker: str
    job_id: UUID
    task_id: UUID
    attempt: int
    sample_sha256: str
    token: str
    body: str
    secrets: Sequence[str] = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishResult:
    """
    What became of a batch.

    ``refused``: the broker did not take them, or nobody knows whether it did: publish
    them again, a second copy is harmless. ``error``: what it said, no secrets in it;
    of a queue that is not as it must be, its name and what to do. ``spoilt``: the
    workers that have such a queue.
    """

    refused: Sequence[Outgoing] = ()
    error: str | None = None
    spoilt: frozenset[str] = frozenset()
