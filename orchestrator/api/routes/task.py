"""
Job tasks over HTTP: reading them, and updating them for workers that only speak HTTP.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Path

from orchestrator.api.deps import CallerDep, ServicesDep, guarded, needs
from orchestrator.api.http.envelope import Envelope, ListEnvelope, listing, single
from orchestrator.api.http.paging import PagingDep
from orchestrator.api.routes.job import JobID
from orchestrator.api.schemas.job import JobTaskResponse, JobTaskUpdateRequest
from orchestrator.db.access import check_job
from orchestrator.domain.values import Role, TaskState
from orchestrator.flow.update import TaskUpdate, update_task
from orchestrator.queries import tasks

router = guarded("task")

TaskID = Annotated[UUID, Path(alias="taskID")]


@router.get("/job/{jobID}/tasks")
@needs(Role.VIEWER)
def list_tasks(
    job_id: JobID, paging: PagingDep, caller: CallerDep, services: ServicesDep
) -> ListEnvelope[JobTaskResponse]:
    """Return the tasks of a job, by worker."""
    with services.database.uow() as tx:
        page = tasks.list_tasks(tx, job_id, paging, viewer=caller.viewer)
    shaped = [JobTaskResponse.of(view) for view in page.items]
    return listing(shaped, page=page, paging=paging)


@router.get("/job/{jobID}/task/{taskID}")
@needs(Role.VIEWER)
def get_task(
    job_id: JobID, task_id: TaskID, caller: CallerDep, services: ServicesDep
) -> Envelope[JobTaskResponse]:
    """Return one task, and what happened to it out of the ordinary."""
    with services.database.uow() as tx:
        view = tasks.get_task(tx, job_id, task_id, viewer=caller.viewer)
    return single(JobTaskResponse.of(view))


@router.get("/task/{taskID}")
@needs(Role.VIEWER)
def get_task_by_id(
    task_id: TaskID, caller: CallerDep, services: ServicesDep
) -> Envelope[JobTaskResponse]:
    """Return one task, for who does not know its job."""
    with services.database.uow() as tx:
        job_id = tasks.get_job_id(tx, task_id)
        check_job(tx, caller.viewer, job_id)
        view = tasks.get_task(tx, job_id, task_id, viewer=caller.viewer)
    return single(JobTaskResponse.of(view))


@router.put("/job/{jobID}/task/{taskID}")
@needs(Role.ANALYZER)
def put_task(
    job_id: JobID,
    task_id: TaskID,
    said: JobTaskUpdateRequest,
    caller: CallerDep,
    services: ServicesDep,
) -> Envelope[JobTaskResponse]:
    """Move a task; its first mover holds it. A repeat of the present is no change."""
    update = TaskUpdate(
        job_id=job_id,
        task_id=task_id,
        state=TaskState(said.state),
        analyses=said.analyses,
        message=said.message,
        holder=caller.holder,
        actor=caller.actor,
        viewer=caller.viewer,
    )
    with services.database.uow() as tx:
        update_task(tx, update, engine=services.engine)
        view = tasks.get_task(tx, job_id, task_id, viewer=caller.viewer)
    return single(JobTaskResponse.of(view))
