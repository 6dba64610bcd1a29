"""
Registered workers, the versions they announced, and their live replicas.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, or_, select, text
from sqlalchemy.dialects.postgresql import insert

from orchestrator.contracts.alive import Alive, Manifest
from orchestrator.db.tables import worker, worker_version
from orchestrator.db.unit_of_work import Transaction
from orchestrator.domain.errors import NotFoundError

#: Of one worker, within a day: what each of them says is read at every tick.
REPLICAS_MAX = 500

#: Of one worker, the newest: a manifest may be large.
VERSIONS_MAX = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerRow:
    """
    A registered worker with what its newest manifest says.

    ``run_seconds`` and ``max_losses``: the administrator's, else the manifest's, else
    ``None``. ``version`` is ``None`` until a manifest came.
    """

    id: UUID
    short_name: str
    version: str | None
    generation: int
    run_seconds: float | None
    max_losses: int | None
    is_deleted: bool
    accepts: tuple[str, ...]
    max_bytes: int | None
    max_tlp: str
    sends_data_out: bool


def is_named(id_or_name: str) -> ColumnElement[bool]:
    """Return the condition for the worker of this short name, or of this id."""
    try:
        by_id = worker.c.id == UUID(id_or_name)
    except ValueError:
        return worker.c.short_name == id_or_name
    return or_(worker.c.short_name == id_or_name, by_id)


def list_workers(tx: Transaction) -> list[WorkerRow]:
    """Return every worker, deleted ones included, by short name."""
    rows = tx.connection.execute(
        select(
            worker.c.id,
            worker.c.short_name,
            worker.c.version,
            worker.c.generation,
            worker.c.run_seconds.label("own_run_seconds"),
            worker_version.c.run_seconds,
            worker.c.max_losses,
            worker.c.deleted_at,
            worker_version.c.accepts,
            worker_version.c.max_bytes,
            worker_version.c.max_tlp,
            worker_version.c.sends_data_out,
        )
        .select_from(
            worker.outerjoin(
                worker_version,
                (worker_version.c.worker_id == worker.c.id)
                & (worker_version.c.version == worker.c.version),
            )
        )
        .order_by(worker.c.short_name)
    )
    return [_worker(row) for row in rows]


def add_worker(tx: Transaction, *, worker_id: UUID, short_name: str) -> bool:
    """Insert a worker of which only the name is known; ``False`` if it is here."""
    statement = (
        insert(worker)
        .values(id=worker_id, short_name=short_name)
        .on_conflict_do_nothing(index_elements=["short_name"])
    )
    return tx.connection.execute(statement.returning(worker.c.id)).first() is not None


def add_version(tx: Transaction, worker_id: UUID, alive: Alive) -> None:
    """Store a manifest, once per version, and make it the worker's newest."""
    manifest = alive.manifest
    if manifest is None:
        return
    tx.connection.execute(
        insert(worker_version)
        .values(
            worker_id=worker_id,
            version=alive.worker_version,
            accepts=list(manifest.accepts),
            max_bytes=manifest.max_bytes,
            run_seconds=manifest.run_seconds,
            max_tlp=manifest.max_tlp,
            sends_data_out=manifest.sends_data_out,
            manifest=manifest.model_dump(mode="json"),
        )
        .on_conflict_do_nothing(index_elements=["worker_id", "version"])
    )
    _forget_versions(tx, worker_id, but=alive.worker_version)
    _adopt(tx, worker_id, alive.worker_version, manifest)


def _forget_versions(tx: Transaction, worker_id: UUID, *, but: str) -> None:
    """Forget the oldest versions above the most that one worker has."""
    tx.connection.execute(
        text(
            """
            DELETE FROM worker_version WHERE worker_id = :id AND version IN (
                SELECT version FROM worker_version
                 WHERE worker_id = :id
                 ORDER BY version = :but DESC, created_at DESC, version DESC
                OFFSET :most)
            """
        ),
        {"id": worker_id, "but": but, "most": VERSIONS_MAX},
    )


def _adopt(tx: Transaction, worker_id: UUID, version: str, manifest: Manifest) -> None:
    # What people registered by hand stands; the manifest fills what they left empty.
    tx.connection.execute(
        text(
            """
            UPDATE worker SET version = :version,
                   localized_names = CASE WHEN localized_names = '{}'
                       THEN CAST(:names AS jsonb) ELSE localized_names END,
                   localized_descriptions = CASE WHEN localized_descriptions = '{}'
                       THEN CAST(:descriptions AS jsonb)
                       ELSE localized_descriptions END,
                   result_schema = CAST(:schema AS jsonb)
             WHERE id = :id AND version IS DISTINCT FROM :version
            """
        ),
        {
            "id": worker_id,
            "version": version,
            **_texts(manifest),
        },
    )


def _texts(manifest: Manifest) -> dict[str, str]:
    dumped = manifest.model_dump(mode="json")
    return {
        "names": json.dumps(dumped["localized_names"]),
        "descriptions": json.dumps(dumped["localized_descriptions"]),
        "schema": json.dumps(dumped["result_schema"]),
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Heartbeat:
    """
    One heartbeat to be applied; ``holds`` as ``<task_id>.<attempt>``. ``aside``: why it
    takes no work. ``skew_seconds``: by how much its clock is ahead.
    """

    replica: str
    worker_id: UUID
    version: str
    slots: int
    sequence: int
    holds: Sequence[str]
    leaving: bool
    aside: str | None = None
    skew_seconds: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """What is wanted of a replica that was heard. ``drain``: that it takes no more."""

    drain: bool


def save_heartbeat(tx: Transaction, heartbeat: Heartbeat) -> Saved | None:
    """
    Remember a replica's heartbeat beside the one before it.

    Returns:
        ``None`` if nothing was written: its sequence is not above the last one's, or
        its worker has as many replicas as one may have.
    """
    saved = tx.connection.execute(
        text(
            """
            INSERT INTO replica (id, worker_id, version, slots, sequence, seen_at,
                                 holds, leaving, aside, aside_at, skew_seconds)
            SELECT :id, CAST(:worker_id AS uuid), :version, :slots, :sequence,
                   CAST(:now AS timestamptz), CAST(:holds AS text[]), :leaving,
                   CAST(:aside AS text),
                   CASE WHEN CAST(:aside AS text) IS NOT NULL
                        THEN CAST(:now AS timestamptz) END,
                   CAST(:skew_seconds AS float8)
             WHERE EXISTS (SELECT FROM replica WHERE id = :id)
                OR (SELECT count(*) FROM replica WHERE worker_id = :worker_id) < :most
            ON CONFLICT (id) DO UPDATE
               SET version = excluded.version, slots = excluded.slots,
                   sequence = excluded.sequence, leaving = excluded.leaving,
                   aside = excluded.aside,
                   aside_at = CASE WHEN excluded.aside IS NOT NULL
                       THEN coalesce(replica.aside_at, excluded.aside_at) END,
                   skew_seconds = excluded.skew_seconds,
                   seen_before_at = replica.seen_at, held_before = replica.holds,
                   seen_at = excluded.seen_at, holds = excluded.holds
             WHERE replica.sequence < excluded.sequence
               AND replica.worker_id = excluded.worker_id
            RETURNING draining_at IS NOT NULL AS drain
            """
        ),
        {
            "id": heartbeat.replica,
            "worker_id": heartbeat.worker_id,
            "version": heartbeat.version,
            "slots": heartbeat.slots,
            "sequence": heartbeat.sequence,
            "holds": list(heartbeat.holds),
            "leaving": heartbeat.leaving,
            "aside": heartbeat.aside,
            "skew_seconds": heartbeat.skew_seconds,
            "now": tx.now,
            "most": REPLICAS_MAX,
        },
    )
    row = saved.first()
    return None if row is None else Saved(drain=row.drain)


def set_draining(tx: Transaction, replica: str, *, drain: bool) -> tuple[UUID, bool]:
    """
    Let a replica take nothing more, or work again; the first time stands.

    Returns:
        The id of its worker, and whether anything has changed.

    Raises:
        NotFoundError: There is no such replica.
    """
    row = tx.connection.execute(
        text(
            "SELECT worker_id, draining_at IS NOT NULL AS drains FROM replica"
            " WHERE id = :id FOR NO KEY UPDATE"
        ),
        {"id": replica},
    ).first()
    if row is None:
        raise NotFoundError(f"there is no replica '{replica}'", field="replica")
    if row.drains != drain:
        since = tx.now if drain else None
        statement = text("UPDATE replica SET draining_at = :since WHERE id = :id")
        tx.connection.execute(statement, {"since": since, "id": replica})
    return row.worker_id, row.drains != drain


def has_room_for_replica(tx: Transaction, short_name: str, replica: str) -> bool:
    """Whether a heartbeat of this replica of a worker would be saved."""
    row = tx.connection.execute(
        text(
            "SELECT count(*) AS replicas, bool_or(r.id = :replica) AS is_known"
            " FROM replica r JOIN worker w ON w.id = r.worker_id"
            " WHERE w.short_name = :short_name"
        ),
        {"short_name": short_name, "replica": replica},
    ).one()
    return bool(row.is_known) or row.replicas < REPLICAS_MAX


def is_known_replica(tx: Transaction, replica: str) -> bool:
    """Whether a heartbeat of this replica was ever saved, and is not forgotten."""
    found = tx.connection.execute(
        text("SELECT 1 FROM replica WHERE id = :replica"), {"replica": replica}
    )
    return found.first() is not None


def find_replicas_enrolment(tx: Transaction, replica: str) -> tuple[str, int] | None:
    """Return the short name and the enrolment's generation of a replica's worker."""
    row = tx.connection.execute(
        text(
            "SELECT w.short_name, w.generation FROM replica r"
            " JOIN worker w ON w.id = r.worker_id WHERE r.id = :replica"
        ),
        {"replica": replica},
    ).first()
    return None if row is None else (row.short_name, row.generation)


def announced_versions(
    tx: Transaction, replicas: Collection[str]
) -> dict[tuple[str, UUID], str]:
    """Return the version that each replica announced, with the worker that it is of."""
    rows = tx.connection.execute(
        text("SELECT id, worker_id, version FROM replica WHERE id = ANY(:replicas)"),
        {"replicas": list(replicas)},
    )
    return {(row.id, row.worker_id): row.version for row in rows}


def _worker(row: Row[*tuple[Any, ...]]) -> WorkerRow:
    return WorkerRow(
        id=row.id,
        short_name=row.short_name,
        version=row.version,
        generation=row.generation,
        run_seconds=row.own_run_seconds or row.run_seconds,
        max_losses=row.max_losses,
        is_deleted=row.deleted_at is not None,
        accepts=tuple(row.accepts or ()),
        max_bytes=row.max_bytes,
        max_tlp=row.max_tlp or "red",
        sends_data_out=bool(row.sends_data_out),
    )
