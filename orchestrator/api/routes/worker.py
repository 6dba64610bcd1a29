"""
Registered workers over HTTP.
"""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Path, Query

from orchestrator.api.deps import CallerDep, Services, ServicesDep, guarded, needs
from orchestrator.api.http.envelope import (
    Envelope,
    ListEnvelope,
    created,
    listing,
    single,
)
from orchestrator.api.http.paging import PagingDep
from orchestrator.api.schemas.worker import (
    ReplicaResponse,
    WorkerAddRequest,
    WorkerResponse,
    WorkerUpdateRequest,
)
from orchestrator.catalog import workers as catalog
from orchestrator.catalog.replicas import drain_replica as drain_by_hand
from orchestrator.db.access import check_unlimited
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import InvalidError
from orchestrator.domain.values import Role
from orchestrator.queries import replicas
from orchestrator.queries import workers as queries

router = guarded("worker")

Named = Annotated[str, Path(alias="idOrShortName")]
ReplicaName = Annotated[str, Path(max_length=255)]


@router.get("/worker")
@needs(Role.VIEWER)
def list_workers(
    paging: PagingDep,
    services: ServicesDep,
    include_deleted: Annotated[bool, Query(alias="includeDeleted")] = False,  # noqa: FBT002  (a query parameter)
) -> ListEnvelope[WorkerResponse]:
    """Return the registered workers, by short name."""
    with services.database.uow() as tx:
        page = queries.list_workers(
            tx, paging, include_deleted=include_deleted, lease=_lease(services)
        )
    shaped = [WorkerResponse.of(view) for view in page.items]
    return listing(shaped, page=page, paging=paging)


@router.get("/worker/{idOrShortName}")
@needs(Role.VIEWER)
def get_worker(named: Named, services: ServicesDep) -> Envelope[WorkerResponse]:
    """Return one worker, a deleted one too."""
    with services.database.uow() as tx:
        return _answer(tx, named, services)


@router.get("/worker/{idOrShortName}/schema")
@needs(Role.VIEWER)
def get_schema(named: Named, services: ServicesDep) -> dict[str, Any]:
    """Return the JSON schema of a worker's results, without an envelope."""
    with services.database.uow() as tx:
        return queries.get_schema(tx, named)


@router.get("/worker/{idOrShortName}/replica")
@needs(Role.VIEWER)
def list_replicas(
    named: Named, paging: PagingDep, services: ServicesDep
) -> ListEnvelope[ReplicaResponse]:
    """Return the living replicas of a worker, the oldest first."""
    with services.database.uow() as tx:
        found = queries.get_worker(tx, named, lease=_lease(services))
        page = replicas.list_replicas(tx, found.id, paging, lease=_lease(services))
    shaped = [ReplicaResponse.of(each) for each in page.items]
    return listing(shaped, page=page, paging=paging)


@router.put("/replica/{replica}/drain")
@needs(Role.ADMINISTRATOR)
def drain_replica(
    replica: ReplicaName, caller: CallerDep, services: ServicesDep
) -> Envelope[ReplicaResponse]:
    """Give a replica nothing more; it finishes what it has, and stays until ended."""
    return _set_draining(replica, caller, services, drain=True)


@router.put("/replica/{replica}/undrain")
@needs(Role.ADMINISTRATOR)
def undrain_replica(
    replica: ReplicaName, caller: CallerDep, services: ServicesDep
) -> Envelope[ReplicaResponse]:
    """Let a replica that drains work again."""
    return _set_draining(replica, caller, services, drain=False)


@router.post("/worker", status_code=HTTPStatus.CREATED)
@needs(Role.ADMINISTRATOR)
def add_worker(
    given: WorkerAddRequest,
    caller: CallerDep,
    services: ServicesDep,
) -> Envelope[WorkerResponse]:
    """Register a worker before any replica of it runs."""
    check_unlimited(caller.viewer)
    with services.database.uow() as tx:
        worker_id = catalog.register_worker(
            tx, given.short_name, given.fields(), actor=caller.actor
        )
        view = queries.get_worker(tx, str(worker_id), lease=_lease(services))
    return created(WorkerResponse.of(view))


@router.put("/worker/{idOrShortName}")
@needs(Role.ADMINISTRATOR)
def update_worker(
    named: Named,
    given: WorkerUpdateRequest,
    caller: CallerDep,
    services: ServicesDep,
) -> Envelope[WorkerResponse]:
    """Change what is given; a worker keeps its short name."""
    check_unlimited(caller.viewer)
    with services.database.uow() as tx:
        name = queries.get_short_name(tx, named)
        if given.short_name not in {None, name}:
            raise InvalidError(
                f"worker '{name}' keeps its name: queues and replicas go by it;"
                " register another worker",
                field="shortName",
            )
        catalog.update_worker(tx, name, given.fields(), actor=caller.actor)
        return _answer(tx, name, services)


@router.delete("/worker/{idOrShortName}")
@needs(Role.ADMINISTRATOR)
def delete_worker(
    named: Named, caller: CallerDep, services: ServicesDep
) -> Envelope[WorkerResponse]:
    """Disable a worker for good and cancel its open tasks; a repeat changes nothing."""
    check_unlimited(caller.viewer)
    with services.database.uow() as tx:
        found = queries.get_worker(tx, named, lease=_lease(services))
        catalog.delete_worker(tx, found.short_name, actor=caller.actor)
        return _answer(tx, found.short_name, services)


@router.put("/worker/{idOrShortName}/pause")
@needs(Role.ADMINISTRATOR)
def pause_worker(
    named: Named, caller: CallerDep, services: ServicesDep
) -> Envelope[WorkerResponse]:
    """Dispatch no more of a worker's tasks; those that run go on."""
    check_unlimited(caller.viewer)
    with services.database.uow() as tx:
        name = queries.get_short_name(tx, named)
        catalog.pause_worker(tx, name, actor=caller.actor)
        return _answer(tx, name, services)


@router.put("/worker/{idOrShortName}/resume")
@needs(Role.ADMINISTRATOR)
def resume_worker(
    named: Named, caller: CallerDep, services: ServicesDep
) -> Envelope[WorkerResponse]:
    """Dispatch a worker's tasks again; their clocks stood still meanwhile."""
    check_unlimited(caller.viewer)
    with services.database.uow() as tx:
        name = queries.get_short_name(tx, named)
        catalog.resume_worker(tx, name, actor=caller.actor)
        return _answer(tx, name, services)


def _set_draining(
    replica: str, caller: CallerDep, services: Services, *, drain: bool
) -> Envelope[ReplicaResponse]:
    check_unlimited(caller.viewer)
    with services.database.uow() as tx:
        drain_by_hand(tx, replica, drain=drain, actor=caller.actor)
        return single(ReplicaResponse.of(replicas.get_replica(tx, replica)))


def _answer(
    tx: Transaction, named: str, services: Services
) -> Envelope[WorkerResponse]:
    view = queries.get_worker(tx, named, lease=_lease(services))
    return single(WorkerResponse.of(view))


def _lease(services: Services) -> timedelta:
    return services.engine.limits.lease
