"""
One task: its whole history, who had it in hand, and what came of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Path, Request, Response

from orchestrator.api.deps import CallerDep, ServicesDep, needs
from orchestrator.console.hints import hint
from orchestrator.console.page import page
from orchestrator.console.tree import (
    DIFFERENCES_MAX,
    Branch,
    Difference,
    compare,
    grow,
)
from orchestrator.console.visitor import READ, pages
from orchestrator.db.access import check_job
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.story import (
    ENDED,
    ENQUEUED,
    PUBLISHED,
    QUEUED,
    STARTED,
    Known,
    Step,
    tell,
)
from orchestrator.domain.values import Role
from orchestrator.domain.viewer import Viewer
from orchestrator.queries.analyses import AnalysisView, find_previous, get_analysis
from orchestrator.queries.evidence import EvidenceView, list_evidence
from orchestrator.queries.jobs import get_job
from orchestrator.queries.lists import Paging
from orchestrator.queries.tasks import TaskView, get_job_id, get_task
from orchestrator.queries.waiting import list_waiting

router = pages()

TaskID = Annotated[UUID, Path(alias="taskID")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """
    An analysis of a task, as it is shown.

    ``differences``: from what the same worker said of the sample before; ``None``: it
    said nothing.
    """

    analysis: AnalysisView
    tree: Branch
    evidence: Sequence[EvidenceView]
    previous: AnalysisView | None
    differences: Sequence[Difference] | None


@router.api_route("/tasks/{taskID}", methods=READ)
@needs(Role.VIEWER)
def show_task(
    request: Request, task_id: TaskID, caller: CallerDep, services: ServicesDep
) -> Response:
    """Show one task."""
    viewer, lease = caller.viewer, services.engine.limits.lease
    with services.database.uow() as tx:
        job_id = get_job_id(tx, task_id)
        check_job(tx, viewer, job_id)
        task = get_task(tx, job_id, task_id, viewer=viewer)
        job = get_job(tx, job_id)
        waiting = {each.task_id: each for each in list_waiting(tx, job_id, lease=lease)}
        found = [
            _found(tx, job.sample_sha256, link.id, viewer) for link in task.analyses
        ]
        now = tx.now
    return page(
        request,
        "task.html",
        now=now,
        task=task,
        job=job,
        story=[(step, _moment(step)) for step in tell(_known(task))],
        messages=_messages(task),
        waiting=waiting.get(task_id),
        found=found,
        differences_max=DIFFERENCES_MAX,
        hint=hint(f"assay task show {task_id}", "GET", f"/task/{task_id}"),
        result_hints=[
            hint(
                f"assay analysis show {job.sample_sha256}/{link.id} --json",
                "GET",
                f"/sample/{job.sample_sha256}/analysis/{link.id}",
            )
            for link in task.analyses
        ],
    )


def _found(tx: Transaction, sha256: str, analysis_id: UUID, viewer: Viewer) -> Found:
    analysis = get_analysis(tx, sha256, analysis_id, viewer=viewer)
    files = list_evidence(tx, sha256, analysis_id, Paging(limit=100), viewer=viewer)
    previous = find_previous(tx, analysis, viewer=viewer)
    return Found(
        analysis=analysis,
        tree=grow(analysis.result),
        evidence=files.items,
        previous=previous,
        differences=None
        if previous is None
        else compare(_comparable(previous), _comparable(analysis)),
    )


def _comparable(analysis: AnalysisView) -> dict[str, object]:
    return {
        "version": analysis.agent_version,
        "score": analysis.score,
        "override": analysis.status_override,
        "tags": sorted(f"{tag['type']}: {tag['value']}" for tag in analysis.tags),
        "detections": sorted(each["name"] for each in analysis.detections),
        "result": analysis.result,
    }


def _known(task: TaskView) -> Known:
    moments = {
        ENQUEUED: task.enqueued_at,
        QUEUED: task.queued_at,
        PUBLISHED: task.published_at,
        STARTED: task.started_at,
        ENDED: task.ended_at,
    }
    return Known(
        attempt=task.attempt,
        state=task.state.value,
        reason=task.reason.value if task.reason else None,
        holder=task.holder,
        moments={
            word: None if at is None else at.timestamp() for word, at in moments.items()
        },
        events=[
            Step(
                at=event.created_at.timestamp(),
                attempt=event.attempt,
                what=event.kind,
                reason=event.reason,
                by=event.actor,
            )
            for event in task.events or ()
        ],
    )


def _moment(step: Step) -> datetime | None:
    return None if step.at is None else datetime.fromtimestamp(step.at, UTC)


def _messages(task: TaskView) -> list[tuple[str, str]]:
    """Return every message once, and whose it is."""
    told = {
        event.message: f"attempt {event.attempt}, {event.kind}"
        for event in task.events or ()
        if event.message
    }
    if task.message:
        told.setdefault(task.message, f"attempt {task.attempt}, {task.state}")
    return [(whose, text) for text, whose in told.items()]
