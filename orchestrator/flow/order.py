"""
What a submitter asks for, and what became of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from orchestrator.domain.errors import AssayError, InvalidError
from orchestrator.domain.policy import Tlp

PRIORITY_MIN = -9
PRIORITY_MAX = 9


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What a submitter says of a sample with an order: for selection, and to keep."""

    tlp: Tlp = Tlp.AMBER
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOrder:
    """
    What a submitter asks for.

    ``workers`` replaces the policy; ``None`` leaves the choice to it. ``said``:
    ``None`` for what the customer said of the sample last. ``reanalyse``: answer the
    caller's open job, or reanalysis, of this sample of the last 60 s.
    """

    sample_sha256: str
    submitter_id: UUID
    customer_id: UUID
    priority: int = 0
    workers: tuple[str, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    file_name: str | None = None
    said: Said | None = None
    idempotency_key: str | None = None
    reanalyse: bool = False

    def content_hash(self) -> str:
        """Return what makes two orders of one idempotency key the same."""
        said = self.said
        content = [
            self.sample_sha256,
            self.priority,
            sorted(self.workers) if self.workers is not None else None,
            dict(self.options),
            self.file_name,
            None if said is None else [str(self.customer_id), said.tlp, said.metadata],
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenJob:
    """How a job stands that was just made, and whose tasks are all open."""

    size_bytes: int
    tasks: int
    enqueued_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class CreatedJob:
    """
    ``is_new``: whether this call made it. ``open_job``: ``None`` if it was here before,
    or has no task and so is over.
    """

    job_id: UUID
    is_new: bool
    open_job: OpenJob | None = None


#: What became of an order: its job, or why there is none.
Outcome = CreatedJob | AssayError


def find_mistake(order: JobOrder) -> InvalidError | None:
    """Return what is wrong with an order as such."""
    if not PRIORITY_MIN <= order.priority <= PRIORITY_MAX:
        return InvalidError(
            f"priority: {order.priority} is not from {PRIORITY_MIN} to {PRIORITY_MAX}",
            field="priority",
        )
    if order.workers is not None and not order.workers:
        return InvalidError(
            "workers: name at least one, or leave it out for the policy's choice",
            field="workers",
        )
    return None
