"""
The workers: how each is, its versions side by side, its replicas, and what may be said
to them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

from fastapi import Path, Request, Response

from orchestrator.api.deps import Caller, CallerDep, Services, ServicesDep, needs
from orchestrator.api.schemas.worker import WorkerUpdateRequest
from orchestrator.catalog import replicas as replica_catalog
from orchestrator.catalog import workers as catalog
from orchestrator.catalog.workers import WorkerFields
from orchestrator.console.forms import checked
from orchestrator.console.hints import Hint, hint
from orchestrator.console.page import page
from orchestrator.console.sentences import describe
from orchestrator.console.visitor import READ, SEND, Form, FormDep, field, pages, see
from orchestrator.db.access import check_unlimited
from orchestrator.domain.errors import InvalidError
from orchestrator.domain.values import Role
from orchestrator.queries import workers as queries
from orchestrator.queries.lists import Paging
from orchestrator.queries.overview import read_overview
from orchestrator.queries.replicas import get_replica, list_replicas
from orchestrator.queries.runs import LOOKED_AT_MAX, list_versions

router = pages()

Name = Annotated[str, Path(alias="name", max_length=64)]
ReplicaName = Annotated[str, Path(alias="replica", max_length=256)]

#: What an administrator sets over the manifest: the form's field, and the API's.
_OVERRIDES: Final = {
    "weight": "weight",
    "run_seconds": "runSeconds",
    "max_losses": "maxLosses",
    "window_cap": "windowCap",
}


@router.api_route("/workers", methods=READ)
@needs(Role.VIEWER)
def show_workers(request: Request, services: ServicesDep) -> Response:
    """Show every worker in a sentence."""
    with services.database.uow() as tx:
        overview = read_overview(tx, limits=services.engine.limits)
        now = tx.now
    workers = [
        (state.measures, state.version, describe(state, now=now))
        for state in overview.workers
    ]
    return page(
        request,
        "workers.html",
        now=now,
        workers=workers,
        hint=hint("assay worker list", "GET", "/worker"),
    )


@router.api_route("/workers/{name}", methods=READ)
@needs(Role.VIEWER)
def show_worker(
    request: Request, name: Name, caller: CallerDep, services: ServicesDep
) -> Response:
    """Show one worker."""
    limits = services.engine.limits
    with services.database.uow() as tx:
        worker = queries.get_worker(tx, name, lease=limits.lease)
        versions = list_versions(tx, worker.id)
        living = list_replicas(tx, worker.id, Paging(limit=0), lease=limits.lease)
        overview = read_overview(tx, limits=limits)
        now = tx.now
    stands = [
        state
        for state in overview.workers
        if state.measures.short_name == worker.short_name
    ]
    return page(
        request,
        "worker.html",
        now=now,
        worker=worker,
        sayings=describe(stands[0], now=now) if stands else (),
        measures=stands[0].measures if stands else None,
        versions=versions,
        looked_at_max=LOOKED_AT_MAX,
        replicas=living.items,
        may_change=caller.role.includes(Role.ADMINISTRATOR)
        and caller.viewer.customer_ids is None
        and worker.deleted_at is None,
        hints=_hints(worker.short_name),
        drain_hint=_drain_hint,
    )


@router.api_route("/workers/{name}/pause", methods=SEND)
@needs(Role.ADMINISTRATOR)
def pause(name: Name, caller: CallerDep, services: ServicesDep) -> Response:
    """Give it nothing more."""
    return _changed(name, caller, services, catalog.pause_worker)


@router.api_route("/workers/{name}/resume", methods=SEND)
@needs(Role.ADMINISTRATOR)
def resume(name: Name, caller: CallerDep, services: ServicesDep) -> Response:
    """Give it work again."""
    return _changed(name, caller, services, catalog.resume_worker)


@router.api_route("/workers/{name}/overrides", methods=SEND)
@needs(Role.ADMINISTRATOR)
def override(
    name: Name, form: FormDep, caller: CallerDep, services: ServicesDep
) -> Response:
    """Set what is given over the manifest and the settings."""
    check_unlimited(caller.viewer)
    fields = _overrides(form)
    with services.database.uow() as tx:
        short_name = queries.get_short_name(tx, name)
        catalog.update_worker(tx, short_name, fields, actor=caller.actor)
    return see(f"/workers/{short_name}")


@router.api_route("/replicas/{replica}", methods=READ)
@needs(Role.VIEWER)
def show_replica(replica: ReplicaName, services: ServicesDep) -> Response:
    """Lead to the worker that a replica is of."""
    with services.database.uow() as tx:
        worker_id = get_replica(tx, replica).worker_id
    return see(f"/workers/{worker_id}")


@router.api_route("/replicas/{replica}/{verb}", methods=SEND)
@needs(Role.ADMINISTRATOR)
def drain(
    replica: ReplicaName, verb: str, caller: CallerDep, services: ServicesDep
) -> Response:
    """Give a replica nothing more, or work again."""
    if verb not in {"drain", "undrain"}:
        raise InvalidError("drain it, or undrain it", field="verb")
    check_unlimited(caller.viewer)
    with services.database.uow() as tx:
        replica_catalog.drain_replica(
            tx, replica, drain=verb == "drain", actor=caller.actor
        )
        worker_id = get_replica(tx, replica).worker_id
        name = queries.get_short_name(tx, str(worker_id))
    return see(f"/workers/{name}")


def _changed(
    name: str, caller: Caller, services: Services, change: Callable[..., object]
) -> Response:
    check_unlimited(caller.viewer)
    with services.database.uow() as tx:
        short_name = queries.get_short_name(tx, name)
        change(tx, short_name, actor=caller.actor)
    return see(f"/workers/{short_name}")


def _overrides(form: Form) -> WorkerFields:
    given = {
        outside: _number(written, name)
        for name, outside in _OVERRIDES.items()
        if (written := (field(form, name) or "").strip())
    }
    return checked(WorkerUpdateRequest, given).fields()


def _number(written: str, name: str) -> float:
    try:
        number = float(written)
    except ValueError:
        raise InvalidError("is no number", field=name) from None
    return int(number) if number.is_integer() else number


def _hints(name: str) -> dict[str, Hint]:
    path = f"/worker/{name}"
    return {
        "show": hint(f"assay worker show {name}", "GET", path),
        "pause": hint(f"assay worker pause {name}", "PUT", f"{path}/pause"),
        "resume": hint(f"assay worker resume {name}", "PUT", f"{path}/resume"),
        "override": hint("# over HTTP alone", "PUT", path, {"weight": 0.5}),
    }


def _drain_hint(replica: str, verb: str) -> Hint:
    undo = " --undo" if verb == "undrain" else ""
    command = f"assay worker drain {replica}{undo}"
    return hint(command, "PUT", f"/replica/{replica}/{verb}")
