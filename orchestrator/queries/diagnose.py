"""
What the database says of the whole system, for ``assay doctor``: each thing with what
is to be done about it. It changes nothing.

Whether jobs move at all is ``queries/health.py``'s; this adds why, and what may go
wrong next. Dependencies other than the database are the command's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import Connection, func, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by

from orchestrator.db.service_clock import get_correction
from orchestrator.db.tables import (
    poison,
    rejected_report,
    stream,
    webhook,
    webhook_delivery,
)
from orchestrator.db.unit_of_work import Database, Transaction
from orchestrator.queries.health import Missing, find_unusable, look
from orchestrator.queries.lists import Paging
from orchestrator.queries.skew import list_skewed
from orchestrator.queries.workers import BACKLOG_MAX, WorkerView, list_workers

#: As the processes call their connections to the database.
_PROCESSES = {
    "consumer": ("assay consumer lock", "assay consume"),
    "dispatcher": ("assay dispatcher", "assay dispatch"),
    "deliverer": ("assay deliver", "assay deliver"),
}

_POSTGRESQL_MIN = 15

#: Two at a time are called of each webhook, ten seconds each at most; what waits for
#: longer than this waits for somebody who calls.
_DELIVERY_LATE = timedelta(minutes=2)
#: Webhooks that one line names.
_NAMED_MAX = 5

#: How far back refused messages are of interest.
_REJECTED_WITHIN = timedelta(hours=1)

#: What to do about refused messages, by their kind.
_REJECTED_ELSE = (
    "see who else writes into the queue; assay worker check shows a program's"
)
_SERVICE_KEY = (
    "keep former keys behind the first of ASSAY_SECRET_KEY; if it was not changed,"
    " somebody forges"
)
_REJECTED_REMEDIES = {
    "forged_signature": (
        "give every replica its worker's newest ASSAY_WORKER_SECRET: assay worker"
        " register NAME --keep prints it"
    ),
    "forged_token": _SERVICE_KEY,
    "forged_receipt": _SERVICE_KEY,
    "unknown_worker": "assay worker register NAME, or end those replicas",
    "unknown_version": "upgrade what is older: docs/operations/upgrade.md",
    "unknown_task": "nothing, if its job is gone, or the database was restored",
    "too_many_replicas": "end some of its replicas, or give each more slots",
}


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    #: Works, but somebody should know, or it will not for long.
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was looked at; ``remedy``: what to do, where it is not well."""

    what: str
    level: Level
    detail: str
    remedy: str | None = None


def ok(what: str, detail: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(what=what, level=Level.OK, detail=detail)


def warn(what: str, detail: str, remedy: str) -> Finding:
    """Return that somebody should know something."""
    return Finding(what=what, level=Level.WARN, detail=detail, remedy=remedy)


def fail(what: str, detail: str, remedy: str) -> Finding:
    """Return that something does not work."""
    return Finding(what=what, level=Level.FAIL, detail=detail, remedy=remedy)


def diagnose(database: Database, *, lease: timedelta) -> Iterator[Finding]:
    """
    Look at everything that the database knows.

    Args:
        lease: How long a silent replica counts as alive.
    """
    yield from diagnose_service(database, lease=lease)
    with database.engine.connect() as connection:
        if find_unusable(connection):
            return
    with database.uow() as tx:
        yield from _workers(tx, lease=lease)
        yield from _clocks(tx, lease=lease)


def diagnose_service(database: Database, *, lease: timedelta) -> Iterator[Finding]:
    """
    Look at what is not of single workers and replicas.

    Args:
        lease: As of :func:`diagnose`.
    """
    with database.engine.connect() as connection:
        yield _version(connection)
        unusable = find_unusable(connection)
    for part in unusable:
        # The other questions would only fail.
        yield fail(part.what, part.detail, part.remedy)
    if unusable:
        return
    yield ok("migrations", "the newest are in")
    with database.uow() as tx:
        yield _service_time(tx.connection)
        yield from _service(tx, lease=lease)


def _service(tx: Transaction, *, lease: timedelta) -> Iterator[Finding]:
    missing = {part.what: part for part in look(tx, lease=lease).missing}
    reports, dispatch = missing.get("reports"), missing.get("dispatcher")
    yield _process(tx, "consumer", works=reports is None)
    yield _as_finding("reports", reports, healthy=_canary_age(tx))
    yield _process(tx, "dispatcher", works=dispatch is None)
    yield _as_finding("backlog", dispatch, healthy="is dispatched")
    yield _poison(tx)
    yield from _rejected(tx)
    yield from _webhooks(tx)


def _service_time(connection: Connection) -> Finding:
    correction, clock = get_correction(connection)
    left = correction.left_at(clock).total_seconds()
    if not left:
        return ok("time", "is what the database's clock shows")
    detail = (
        f"the database's clock jumped {correction.jump.total_seconds():+.0f} s on"
        f" {correction.made_at:%Y-%m-%d at %H:%M:%S}; the times of jobs are"
        f" {abs(left):.0f} s {'ahead of' if left > 0 else 'behind'} it, and come back"
        " by one in a hundred"
    )
    return warn("time", detail, "let the database's hosts keep time by NTP")


def _version(connection: Connection) -> Finding:
    number = connection.execute(text("SHOW server_version_num")).scalar_one()
    version = connection.execute(text("SHOW server_version")).scalar_one()
    if int(number) // 10_000 < _POSTGRESQL_MIN:
        remedy = f"upgrade it to {_POSTGRESQL_MIN} or newer"
        return fail("database", f"PostgreSQL {version} is too old", remedy)
    return ok("database", f"PostgreSQL {version}")


def _as_finding(what: str, missing: Missing | None, *, healthy: str) -> Finding:
    if missing is None:
        return ok(what, healthy)
    return fail(what, missing.detail, missing.remedy)


def _process(tx: Transaction, name: str, *, works: bool) -> Finding:
    application, command = _PROCESSES[name]
    running = tx.connection.execute(
        text(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = :name"
        ),
        {"name": application},
    ).scalar_one()
    if running:
        return ok(f"{name}s", f"{running} connected")
    # Where its work is done all the same, it may be one that we are not shown.
    level = warn if works else fail
    return level(f"{name}s", "none is connected", f"start one: {command}")


def _canary_age(tx: Transaction) -> str:
    seen = tx.connection.execute(select(stream.c.canary_at)).scalar_one_or_none()
    age = "never" if seen is None else f"{(tx.now - seen).total_seconds():.1f} s ago"
    return f"are read; the last canary came through {age}"


def _workers(tx: Transaction, *, lease: timedelta) -> Iterator[Finding]:
    page = list_workers(tx, Paging(limit=0), include_deleted=False, lease=lease)
    if not page.items:
        remedy = "enrol one: assay worker register NAME"
        yield warn("workers", "none is registered; jobs have no task", remedy)
    for view in page.items:
        yield _worker(view)
        yield from _aside(tx, view)


def _worker(view: WorkerView) -> Finding:
    name = view.short_name
    what = f"worker {name}"
    more = "+" if view.backlog >= BACKLOG_MAX else ""
    waiting = f"{view.backlog}{more} tasks wait"
    if view.paused_at is not None:
        remedy = f"when it may go on: assay worker resume {name}"
        return warn(what, f"is paused; {waiting}", remedy)
    if not view.replicas:
        start = f"start a replica: assay worker run {name}"
        if view.backlog:
            return fail(what, f"no replica lives; {waiting}", start)
        return warn(what, "no replica lives; its tasks will wait", start)
    living = f"{view.replicas} replicas with {view.slots} slots live"
    return ok(what, f"{living}; {waiting}")


def _aside(tx: Transaction, view: WorkerView) -> Iterator[Finding]:
    # One that is down is the others' work; all of them are nobody's.
    level = fail if len(view.aside) >= view.replicas else warn
    for one in view.aside:
        seconds = (tx.now - one.since).total_seconds()
        detail = f"stands aside for {seconds:.0f} s: {one.why}"
        remedy = "mend that; it looks again by itself, half a minute later at most"
        yield level(f"replica {one.replica}", detail, remedy)


def _clocks(tx: Transaction, *, lease: timedelta) -> Iterator[Finding]:
    for name, ahead in list_skewed(tx, lease=lease):
        where = "ahead of" if ahead > timedelta() else "behind"
        detail = f"its clock is {abs(ahead).total_seconds():.0f} s {where} the API's"
        yield warn(f"replica {name}", detail, "let its host keep time by NTP")


def _poison(tx: Transaction) -> Finding:
    standing = (poison.c.poisoned_at.is_not(None), poison.c.cleared_at.is_(None))
    count = select(func.count()).select_from(poison).where(*standing)
    found = tx.connection.execute(count).scalar_one()
    if not found:
        return ok("poison", "no worker dies of a sample")
    remedy = "see assay poison list; mend the worker, or assay poison clear"
    return warn("poison", f"{found} samples are kept from workers", remedy)


def _webhooks(tx: Transaction) -> Iterator[Finding]:
    hooks = tx.connection.execute(select(webhook)).all()
    if not hooks:
        yield ok("webhooks", "nobody is to be told of anything")
        return
    late = _oldest_due(tx)
    yield _process(tx, "deliverer", works=late < _DELIVERY_LATE)
    failing = [row for row in hooks if row.off_at is not None or row.failures]
    if failing:
        names = ", ".join(str(row.id)[-8:] for row in failing[:_NAMED_MAX])
        remedy = "see assay webhook list, and assay webhook deliveries WEBHOOK"
        detail = (
            f"{len(failing)} of {len(hooks)} do not take what they are told: {names}"
        )
        yield warn("webhooks", detail, remedy)
    else:
        yield ok("webhooks", f"{len(hooks)} are told of what happens")


def _oldest_due(tx: Transaction) -> timedelta:
    """Return for how long something has waited for somebody to deliver it."""
    rests = webhook.c.rest_until > tx.now
    oldest = tx.connection.execute(
        select(func.min(webhook_delivery.c.due_at))
        .join_from(webhook_delivery, webhook)
        .where(
            webhook_delivery.c.due_at.is_not(None),
            webhook.c.off_at.is_(None),
            rests.is_not(True),
        )
    ).scalar_one()
    return timedelta() if oldest is None else tx.now - oldest


def _rejected(tx: Transaction) -> Iterator[Finding]:
    newest = func.array_agg(
        aggregate_order_by(rejected_report.c.reason, rejected_report.c.id.desc())
    )
    found = tx.connection.execute(
        select(rejected_report.c.kind, func.count(), newest)
        .where(rejected_report.c.created_at > tx.now - _REJECTED_WITHIN)
        .group_by(rejected_report.c.kind)
        .order_by(rejected_report.c.kind)
    ).all()
    if not found:
        yield ok("rejected", "no message was refused in the last hour")
    for kind, count, reasons in found:
        detail = f"{count} messages in an hour, last: {reasons[0]}"
        yield warn("rejected", detail, _REJECTED_REMEDIES.get(kind, _REJECTED_ELSE))
