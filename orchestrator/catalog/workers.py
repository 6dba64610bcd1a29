"""
Registering workers by hand: their names, their enrolment, their pauses and their end.

What a replica announces of itself is ``flow/heartbeats.py``'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic.alias_generators import to_camel
from sqlalchemy import Row, case, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from uuid_utils.compat import uuid7

from orchestrator.contracts.token import KeyRing
from orchestrator.db import audit, stream, workers
from orchestrator.db.audit import Action
from orchestrator.db.states import ENQUEUED
from orchestrator.db.tables import worker
from orchestrator.db.unit_of_work import Transaction
from orchestrator.db.workers import is_named
from orchestrator.domain.errors import ConflictError, UnknownWorkerError
from orchestrator.domain.values import Actor
from orchestrator.messaging.accounts import Account


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerFields:
    """
    What administrators say of a worker; ``None`` leaves a field as it is.

    ``localized_names`` and ``localized_descriptions``: {language: text}.
    """

    localized_names: Mapping[str, str] | None = None
    localized_descriptions: Mapping[str, str] | None = None
    result_schema: Mapping[str, Any] | None = None
    weight: float | None = None
    run_seconds: float | None = None
    max_losses: int | None = None
    window_cap: int | None = None


def register_worker(
    tx: Transaction, short_name: str, fields: WorkerFields, *, actor: Actor
) -> UUID:
    """
    Register a worker that has no replica yet.

    Raises:
        ConflictError: The name is taken.
    """
    worker_id = uuid7()
    values = {
        "id": worker_id,
        "short_name": short_name,
        "created_by": actor.user_id,
        **_given(fields),
    }
    try:
        with tx.connection.begin_nested():
            tx.connection.execute(insert(worker).values(values))
    except IntegrityError:
        raise ConflictError(
            f"there is a worker {short_name} already, or there was, and 'assay worker"
            " register' brings it back",
            field="shortName",
        ) from None
    audit.record(tx, actor, Action.WORKER_REGISTER, short_name)
    return worker_id


def update_worker(
    tx: Transaction, name: str, fields: WorkerFields, *, actor: Actor
) -> UUID:
    """
    Change what is given.

    Raises:
        UnknownWorkerError: No worker has this name or id.
    """
    found = get_worker_row(tx, name, for_update=True)
    given = _given(fields)
    stamps = {"updated_at": tx.now, "updated_by": actor.user_id}
    tx.connection.execute(
        update(worker).where(worker.c.id == found.id).values(**stamps, **given)
    )
    changed = _changed(found, given)
    if changed:
        audit.record(tx, actor, Action.WORKER_UPDATE, found.short_name, changed)
    return UUID(str(found.id))


def delete_worker(tx: Transaction, name: str, *, actor: Actor) -> UUID:
    """
    Disable a worker for good; its name stays taken, its analyses stay. The first time
    stands.

    Maintenance cancels its open tasks within a tick, reason ``worker_disabled``.

    Raises:
        UnknownWorkerError: No worker has this name or id.
    """
    found = get_worker_row(tx, name, for_update=True)
    if found.deleted_at is None:
        tx.connection.execute(
            update(worker)
            .where(worker.c.id == found.id)
            .values(deleted_at=tx.now, deleted_by=actor.user_id)
        )
        audit.record(tx, actor, Action.WORKER_DELETE, found.short_name)
    return UUID(str(found.id))


def enrol_worker(
    tx: Transaction, short_name: str, *, keys: KeyRing, actor: Actor
) -> str:
    """
    Issue an enrolment secret, ending the one before; registers the worker if it is new.

    Returns:
        The secret for ``ASSAY_WORKER_SECRET``. It is stored nowhere.
    """
    workers.add_worker(tx, worker_id=uuid7(), short_name=short_name)
    generation = tx.connection.execute(
        update(worker)
        .where(worker.c.short_name == short_name)
        .values(generation=worker.c.generation + 1, deleted_at=None, deleted_by=None)
        .returning(worker.c.generation)
    ).scalar_one()
    detail = {"generation": generation}
    audit.record(tx, actor, Action.WORKER_ENROL, short_name, detail)
    return keys.enrolment_secret(short_name, int(generation))


def keep_enrolled(
    tx: Transaction, short_name: str, *, keys: KeyRing, actor: Actor
) -> str:
    """
    Return the present secret of a worker, enrolling it if it never was.

    Raises:
        ConflictError: It was removed: only a person brings it back.
    """
    found = tx.connection.execute(
        select(worker.c.deleted_at).where(worker.c.short_name == short_name)
    ).first()
    if found is not None and found.deleted_at is not None:
        raise ConflictError(
            f"the worker {short_name} was removed; `assay worker register {short_name}`"
            " brings it back",
            field="NAME",
        )
    return ensure_enrolled(tx, short_name, keys=keys, actor=actor)


def ensure_enrolled(
    tx: Transaction, short_name: str, *, keys: KeyRing, actor: Actor
) -> str:
    """Enrol a worker unless it is; return its present enrolment secret."""
    generation = tx.connection.execute(
        select(worker.c.generation).where(worker.c.short_name == short_name)
    ).scalar()
    if not generation:
        return enrol_worker(tx, short_name, keys=keys, actor=actor)
    return keys.enrolment_secret(short_name, int(generation))


def broker_accounts(tx: Transaction, *, keys: KeyRing) -> list[Account]:
    """Return the accounts that the broker should have: of every enrolled worker."""
    deployment = stream.get_deployment(tx)
    return [
        Account.of(row.short_name, row.generation, keys=keys, deployment=deployment)
        for row in workers.list_workers(tx)
        if row.generation and not row.is_deleted
    ]


def pause_worker(tx: Transaction, name: str, *, actor: Actor) -> UUID:
    """
    Dispatch no more of this worker's tasks; those that run go on. A repeat is the same.

    Raises:
        UnknownWorkerError: No worker has this name or id.
    """
    found = get_worker_row(tx, name, for_update=True)
    if found.paused_at is None:
        tx.connection.execute(
            update(worker).where(worker.c.id == found.id).values(paused_at=tx.now)
        )
        audit.record(tx, actor, Action.WORKER_PAUSE, found.short_name)
        tx.changed.workers.add(found.id)
    return UUID(str(found.id))


def resume_worker(tx: Transaction, name: str, *, actor: Actor) -> UUID:
    """
    Dispatch again. The clocks of what waited stood still meanwhile.

    Raises:
        UnknownWorkerError: No worker has this name or id.
    """
    found = get_worker_row(tx, name, for_update=True)
    if found.paused_at is not None:
        _shift_clocks(tx, found)
        tx.connection.execute(
            update(worker)
            .where(worker.c.id == found.id)
            .values(
                paused_at=None,
                nobody_home_since=case(
                    (worker.c.nobody_home_since.is_not(None), tx.now)
                ),
            )
        )
        tx.notify("work")
        audit.record(tx, actor, Action.WORKER_RESUME, found.short_name)
        tx.changed.workers.add(found.id)
    return UUID(str(found.id))


def get_worker_row(tx: Transaction, name: str, *, for_update: bool = False) -> Row[Any]:
    """
    Return the row of a worker by short name or id.

    Args:
        for_update: Of two who change it at once, the second sees what the first did.

    Raises:
        UnknownWorkerError: There is none.
    """
    query = select(worker).where(is_named(name)).order_by(worker.c.short_name != name)
    if for_update:
        query = query.with_for_update(key_share=True)
    row = tx.connection.execute(query).first()
    if row is None:
        raise UnknownWorkerError(f"there is no worker {name}", field="worker")
    return row


def _shift_clocks(tx: Transaction, paused: Row[Any]) -> None:
    # Locks tasks only, leaving out what somebody works on; waiting for nobody, it
    # needs no place in the order of locks.
    tx.connection.execute(
        text(
            f"""
            WITH waiting AS (
                SELECT id FROM job_task
                 WHERE worker_id = :worker AND state = {ENQUEUED}
                 ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
            )
            UPDATE job_task t SET due_at = due_at + (:now - greatest(:since, queued_at))
              FROM waiting w WHERE t.id = w.id
            """
        ),
        {"worker": paused.id, "now": tx.now, "since": paused.paused_at},
    )


def _changed(row: Row[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return {field: {"from", "to"}}; of a document, which can be large, neither."""
    changed = {}
    for name, value in given.items():
        before = getattr(row, name)
        if before != value:
            is_large = isinstance(value, Mapping)
            changed[to_camel(name)] = {} if is_large else {"from": before, "to": value}
    return changed


def _given(fields: WorkerFields) -> dict[str, Any]:
    names = (
        "localized_names",
        "localized_descriptions",
        "result_schema",
        "weight",
        "run_seconds",
        "max_losses",
        "window_cap",
    )
    values = {name: getattr(fields, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}
