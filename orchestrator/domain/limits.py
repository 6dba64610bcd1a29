"""
Every duration and size that the steps obey, and how long what is kept, as values.

Where they come from is ``config``'s; the clocks that they feed are in ``clocks``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from orchestrator.domain.clocks import LEASE, TaskLimits
from orchestrator.domain.verdict import Bands


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Every duration and size that the steps obey; named as the settings."""

    lease_seconds: float = 15.0
    run_seconds: float = 120.0
    run_grace_seconds: float = 5.0
    queue_wait_seconds: float = 43_200.0
    no_worker_seconds: float = 3_600.0
    job_seconds: float = 86_400.0
    max_losses: int = 3
    window_max: int = 512
    ageing_seconds: float = 600.0
    sample_max_bytes: int = 268_435_456
    attempt_max_bytes: int = 536_870_912
    #: Of one user; 0 is no limit.
    open_tasks_per_user: int = 0
    uploads_per_minute: int = 0
    bands: Bands = field(default_factory=Bands)

    @property
    def lease(self) -> timedelta:
        """How long a silent holder is believed."""
        return LEASE.limit(self)

    def of_task(
        self, *, run_seconds: float | None, max_losses: int | None
    ) -> TaskLimits:
        """Return the limits of a worker's tasks: its own, else the settings'."""
        return TaskLimits(
            run_seconds=run_seconds or self.run_seconds,
            run_grace_seconds=self.run_grace_seconds,
            queue_wait_seconds=self.queue_wait_seconds,
            max_losses=max_losses or self.max_losses,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """How long what is kept. ``jobs``: finished ones, from their end."""

    jobs: timedelta = timedelta(days=90)
    events: timedelta = timedelta(days=30)
    rejected: timedelta = timedelta(days=7)
    audit: timedelta = timedelta(days=365)
