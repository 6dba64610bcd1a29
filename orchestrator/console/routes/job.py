"""
One job: what its tasks did when, what they wait for, why who looked at the sample, and
what that came to.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated
from uuid import UUID

from fastapi import Path, Request, Response

from orchestrator.api.changes import Verb, change
from orchestrator.api.deps import CallerDep, ServicesDep, needs
from orchestrator.console.hints import Hint, hint
from orchestrator.console.page import page
from orchestrator.console.visitor import READ, SEND, pages, see
from orchestrator.console.waterfall import WIDTH, draw
from orchestrator.domain.values import Role, TaskState
from orchestrator.queries import jobs
from orchestrator.queries.choices import find_why_no_verdict, get_selection
from orchestrator.queries.jobs import JobView
from orchestrator.queries.lists import Paging
from orchestrator.queries.samples import find_classification_of_job
from orchestrator.queries.tasks import find_events, list_tasks
from orchestrator.queries.verdicts import find_newest_of_jobs
from orchestrator.queries.waiting import list_waiting

router = pages()

JobID = Annotated[UUID, Path(alias="jobID")]


@router.api_route("/jobs/{jobID}", methods=READ)
@needs(Role.VIEWER)
def show_job(
    request: Request, job_id: JobID, caller: CallerDep, services: ServicesDep
) -> Response:
    """Show one job."""
    lease = services.engine.limits.lease
    with services.database.uow() as tx:
        job = jobs.get_job(tx, job_id)
        tasks = list_tasks(tx, job_id, Paging(limit=0), viewer=caller.viewer).items
        events = find_events(tx, [task.id for task in tasks])
        waiting = list_waiting(tx, job_id, lease=lease)
        choices = get_selection(tx, job_id)
        kind = find_classification_of_job(tx, job_id)
        no_verdict = find_why_no_verdict(tx, job_id)
        verdicts = find_newest_of_jobs(tx, [job_id], viewer=caller.viewer)
        now = tx.now
    states = Counter(task.state for task in tasks)
    return page(
        request,
        "job.html",
        now=now,
        job=job,
        lanes=draw(tasks, events, start=job.enqueued_at, end=job.ended_at or now),
        width=WIDTH,
        tasks={task.worker: task for task in tasks},
        waiting={each.task_id: each for each in waiting},
        choices=sorted(choices, key=lambda choice: not choice.selected),
        kind=kind,
        no_verdict=no_verdict,
        verdict=verdicts.get(job_id),
        may_change=caller.role.includes(Role.USER),
        may_retry=bool(states[TaskState.FAILED] + states[TaskState.TIMEOUT]),
        hints=_hints(job),
    )


@router.api_route("/jobs/{jobID}/{verb}", methods=SEND)
@needs(Role.USER)
def change_job(
    job_id: JobID, verb: Verb, caller: CallerDep, services: ServicesDep
) -> Response:
    """Cancel or retry a job, or analyse its sample again."""
    with services.database.uow() as tx:
        view = change(tx, verb, job_id, caller, engine=services.engine)
    return see(f"/jobs/{view.id}")


def _hints(job: JobView) -> dict[str, Hint]:
    sha256 = job.sample_sha256
    done = {
        verb.value: hint(f"assay job {verb} {job.id}", "PUT", f"/job/{job.id}/{verb}")
        for verb in (Verb.CANCEL, Verb.RETRY)
    }
    return {
        **done,
        "show": hint(f"assay job show {job.id}", "GET", f"/job/{job.id}"),
        "explain": hint(f"assay job explain {job.id}", "GET", f"/job/{job.id}/explain"),
        "reanalyse": hint(
            f"assay sample get {sha256} --output - | assay submit -",
            "PUT",
            f"/sample/{sha256}/reanalyse",
        ),
    }
