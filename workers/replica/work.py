"""
One attempt on its way through a replica: what was asked, and what came of it so far.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.contracts.assignment import Assignment
from orchestrator.contracts.report import Reference, Report
from workers.replica.attempts import Attempt
from workers.replica.transfer import Grant


@dataclass(kw_only=True, slots=True)
class Work:
    """``deadline``: on ``time.monotonic``, once it has a child."""

    assignment: Assignment
    attempt: Attempt
    report: Callable[..., Report]
    references: list[Reference] = field(default_factory=list)
    deadline: float = 0.0

    @property
    def grant(self) -> Grant:
        return Grant(
            task_id=self.attempt.task_id,
            attempt=self.attempt.number,
            token=self.attempt.token,
            stopped=self.attempt.stopped,
            deadline=self.deadline,
        )
