"""
Who a replica is, and the words in which it speaks: reports, heartbeats, its manifest.

Builds messages; sends none.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from uuid_utils.compat import uuid7

from orchestrator.contracts.alive import Alive, Manifest
from orchestrator.contracts.report import (
    FailureReason,
    Report,
    ReportedAnalysis,
    ReportKind,
)
from workers.analyzer import Analyzer
from workers.replica.aside import Aside
from workers.replica.attempts import Attempt, Attempts
from workers.replica.results import clean_text
from workers.replica.skew import Skew


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """``replica``: its Celery node name. ``slots``: analyses at a time."""

    replica: str
    analyzer: Analyzer
    slots: int

    def report(  # noqa: PLR0913  (the fields of a report, by name)
        self,
        attempt: Attempt,
        kind: ReportKind,
        *,
        started_at: datetime | None = None,
        message: str | None = None,
        reason: FailureReason | None = None,
        recoverable: bool = False,
        analysis: ReportedAnalysis | None = None,
    ) -> Report:
        """Return a report about *attempt*, as of now."""
        return Report(
            report_id=uuid7(),
            kind=kind,
            task_id=attempt.task_id,
            attempt=attempt.number,
            token=attempt.token,
            worker=self.analyzer.name,
            worker_version=self.analyzer.version,
            replica=self.replica,
            started_at=started_at,
            ended_at=None if kind == "executing" else wall_clock(),
            message=None if message is None else clean_text(message),
            reason=reason,
            recoverable=recoverable,
            analysis=analysis,
        )

    def alive(  # noqa: PLR0913  (the fields of a heartbeat, by name)
        self,
        attempts: Attempts,
        aside: Aside,
        skew: Skew,
        *,
        sequence: int,
        manifest: bool,
        leaving: bool,
        draining: bool = False,
    ) -> Alive:
        """Return the heartbeat of this moment."""
        return Alive(
            replica=self.replica,
            sequence=sequence,
            worker=self.analyzer.name,
            worker_version=self.analyzer.version,
            slots=self.slots,
            holds=attempts.held(),
            manifest=manifest_of(self.analyzer) if manifest else None,
            leaving=leaving,
            draining=draining,
            aside=aside.why(),
            skew_seconds=skew.seconds,
        )


def manifest_of(analyzer: Analyzer) -> Manifest:
    """Return what the orchestrator must know of this version of *analyzer*."""
    return Manifest(
        localized_names={"english": analyzer.title},
        localized_descriptions={"english": analyzer.description or analyzer.title},
        result_schema=dict(analyzer.schema),
        accepts=analyzer.accepts,
        max_bytes=analyzer.max_bytes,
        run_seconds=analyzer.run_seconds,
        max_tlp=analyzer.max_tlp,
        sends_data_out=analyzer.sends_data_out,
    )


def wall_clock() -> datetime:
    """Return the replica's own time: shown to people, clipped, never decisive."""
    return datetime.now(UTC)  # noqa: TID251  (see above)
