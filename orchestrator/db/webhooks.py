"""
Webhooks, and their deliveries: one row for each message to one webhook, written with
what it tells of.

A delivery waits while it has a time at which it is due; who takes it moves that time on
by a lease, so that another takes it where the first one dies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, delete, insert, select, text, update

from orchestrator.db.bulk import insert_rows, update_rows
from orchestrator.db.tables import webhook, webhook_delivery
from orchestrator.db.unit_of_work import Transaction, json_text
from orchestrator.domain.webhooks import RESTS_FROM, Occasion

#: Whoever is told of this occasion, by customer.
Listening = Mapping[tuple[Occasion, UUID], Sequence[UUID]]

#: Lanes of one webhook at a time: a slow one takes no more of those who call. And
#: deliveries in a lane: a transaction for each would cost more than the calls.
EACH_MAX = 2
LANE_MAX = 16

#: So long a lane may take with all that surrounds it; then it is somebody else's.
LEASE = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True, slots=True)
class NewWebhook:
    """A webhook to be; ``created_by``: the user, if it was one."""

    id: UUID
    customer_id: UUID
    created_by: UUID | None
    url: str
    occasions: Sequence[Occasion]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewDelivery:
    """
    A delivery to be. Of the three ids those are there that name what it tells of: the
    task with its job, the verdict with its job unless it was said by hand.
    """

    id: UUID
    webhook_id: UUID
    occasion: Occasion
    job_id: UUID | None = None
    task_id: UUID | None = None
    verdict_id: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """
    A delivery that is ours for a lease.

    ``tries``: with the one that is to come. ``failures``: of its webhook, in a row.
    ``body``: that of the first try.
    """

    id: UUID
    webhook_id: UUID
    customer_id: UUID
    url: str
    occasion: Occasion
    job_id: UUID | None
    task_id: UUID | None
    verdict_id: UUID | None
    happened_at: datetime
    tries: int
    failures: int
    body: str | None


#: Deliveries of one webhook that are tried one after the other.
Lane = Sequence[Claimed]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """
    What became of a delivery that was claimed.

    ``status`` and ``error``: of the try; without an error it is delivered.
    ``due_at``: of the next try. ``is_tried``: or it is given back as it was.
    """

    delivery: Claimed
    is_tried: bool = True
    status: int | None = None
    error: str | None = None
    due_at: datetime | None = None


def list_listening(tx: Transaction) -> Listening:
    """Return who is to be told of what."""
    rows = tx.connection.execute(
        select(webhook.c.id, webhook.c.customer_id, webhook.c.occasions).where(
            webhook.c.off_at.is_(None)
        )
    )
    found: dict[tuple[Occasion, UUID], list[UUID]] = {}
    for row in rows:
        for occasion in row.occasions:
            key = Occasion(occasion), row.customer_id
            found.setdefault(key, []).append(row.id)
    return found


def add_webhook(tx: Transaction, new: NewWebhook) -> None:
    """Insert a webhook."""
    tx.connection.execute(
        insert(webhook).values(
            id=new.id,
            customer_id=new.customer_id,
            created_by=new.created_by,
            url=new.url,
            occasions=[occasion.value for occasion in new.occasions],
        )
    )


def list_urls(tx: Transaction, customer_id: UUID) -> dict[UUID, str]:
    """Return what a customer has called, by id; what is off too."""
    rows = tx.connection.execute(
        select(webhook.c.id, webhook.c.url).where(webhook.c.customer_id == customer_id)
    )
    return {row.id: row.url for row in rows}


def find_webhook_for_update(tx: Transaction, webhook_id: UUID) -> RowMapping | None:
    """Return a webhook's row, locked."""
    query = select(webhook).where(webhook.c.id == webhook_id).with_for_update()
    return tx.connection.execute(query).mappings().one_or_none()


def delete_webhook(tx: Transaction, webhook_id: UUID) -> None:
    """Delete a webhook with its deliveries."""
    tx.connection.execute(delete(webhook).where(webhook.c.id == webhook_id))


def add_deliveries(tx: Transaction, new: Sequence[NewDelivery]) -> None:
    """Insert deliveries, due at once."""
    rows = [
        {
            "id": delivery.id,
            "webhook_id": delivery.webhook_id,
            "occasion": delivery.occasion.value,
            "job_id": delivery.job_id,
            "task_id": delivery.task_id,
            "verdict_id": delivery.verdict_id,
            "tries": 0,
            "due_at": tx.now,
        }
        for delivery in new
    ]
    insert_rows(tx, webhook_delivery, rows)


def claim_deliveries(tx: Transaction, *, lanes: int) -> list[Lane]:
    """
    Take what is due, the longest first, of each webhook as much as it may have at a
    time. Nobody else is given it before its lease ends.

    Args:
        lanes: How many may be taken.
    """
    # Counted and taken by one at a time, or two would each take a webhook's last place.
    tx.one_at_a_time("deliver")
    values = {
        "now": tx.now,
        "each": EACH_MAX,
        "long": LANE_MAX,
        "few": RESTS_FROM,
        "most": lanes * LANE_MAX,
    }
    taken: list[Lane] = []
    rows = tx.connection.execute(_DUE, values).mappings().all()
    for free, due in _by_webhook(rows):
        number = min(free, lanes - len(taken), len(due))
        taken += [due[start::number][:LANE_MAX] for start in range(number)]
    _take(tx, taken)
    return taken


def _by_webhook(rows: Sequence[RowMapping]) -> Iterable[tuple[int, list[Claimed]]]:
    """Return of each webhook its free lanes and what is due, the longest due first."""
    found: dict[UUID, tuple[int, list[Claimed]]] = {}
    for row in rows:
        values = {**row, "occasion": Occasion(row["occasion"])}
        free = values.pop("free")
        claimed = Claimed(**values)
        found.setdefault(claimed.webhook_id, (free, []))[1].append(claimed)
    return found.values()


def _take(tx: Transaction, lanes: Sequence[Lane]) -> None:
    until = tx.now + LEASE
    rows = [
        {
            "id": claimed.id,
            "tries": claimed.tries,
            "due_at": until,
            "taken_until": until,
            "taken_as": number,
        }
        for number, lane in enumerate(lanes)
        for claimed in lane
    ]
    update_rows(tx, webhook_delivery, rows)


def save_bodies(tx: Transaction, bodies: Mapping[UUID, str]) -> None:
    """Write down what claimed deliveries say: the same on every try."""
    rows = [{"id": each, "body": body} for each, body in bodies.items()]
    update_rows(tx, webhook_delivery, rows)


def save_outcomes(tx: Transaction, outcomes: Sequence[Outcome]) -> None:
    """
    Write down what became of deliveries. One whose lease has ended, so that somebody
    else has taken it since, changes nothing.
    """
    if outcomes:
        values = {"rows": json_text(list(map(_row, outcomes))), "now": tx.now}
        tx.connection.execute(_SAVE, values)


def _row(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.delivery.id,
        "tries": outcome.delivery.tries,
        "is_tried": outcome.is_tried,
        "status": outcome.status,
        "error": outcome.error,
        "due_at": outcome.due_at,
    }


def note_well(tx: Transaction, webhook_id: UUID) -> None:
    """Note that a webhook takes what it is told: also where it was thought gone."""
    tx.connection.execute(_WELL, {"id": webhook_id})


def note_failure(tx: Transaction, webhook_id: UUID, *, rest_until: datetime) -> None:
    """Note that a webhook did not take something, and leave it alone until then."""
    tx.connection.execute(_REST, {"id": webhook_id, "until": rest_until})


def switch_off(tx: Transaction, webhook_id: UUID, *, reason: str) -> None:
    """Tell a webhook nothing more, and park what waits for it."""
    named = {"id": webhook_id, "now": tx.now}
    tx.connection.execute(_GONE, {**named, "reason": reason})
    tx.connection.execute(_PARK, named)


def redeliver(
    tx: Transaction, webhook_id: UUID, delivery_id: UUID | None = None
) -> int:
    """
    Make a delivery due, or all that are parked, with all their tries before them; the
    webhook is not left alone any more. Return how many.
    """
    wanted = webhook_delivery.c.webhook_id == webhook_id
    if delivery_id is None:
        wanted &= webhook_delivery.c.parked_at.is_not(None)
    else:
        wanted &= webhook_delivery.c.id == delivery_id
    again = (
        update(webhook_delivery)
        .where(wanted)
        .values(due_at=tx.now, tries=0, parked_at=None, delivered_at=None)
    )
    found = tx.connection.execute(again).rowcount
    waiting = {"rest_until": None, "failures": 0}
    tx.connection.execute(
        update(webhook).where(webhook.c.id == webhook_id).values(waiting)
    )
    return found


# Rows are counted apart from where they are taken: those of an aggregate can not be
# locked. A webhook that rests now and then is tried with one at a time.
_DUE = text(
    """
    SELECT d.id, d.webhook_id, w.customer_id, w.url, d.occasion, d.job_id, d.task_id,
           d.verdict_id, d.created_at AS happened_at, d.tries + 1 AS tries, d.body,
           w.failures, lane.free
      FROM webhook w
     CROSS JOIN LATERAL (
           SELECT CASE WHEN w.failures < :few THEN :each ELSE 1 END
                  - count(DISTINCT (s.taken_until, s.taken_as)) AS free
             FROM webhook_delivery s
            WHERE s.webhook_id = w.id AND s.taken_until > :now) lane
     CROSS JOIN LATERAL (
           SELECT * FROM webhook_delivery due
            WHERE due.webhook_id = w.id AND due.due_at <= :now
              AND (due.occasion = 'webhook.test' OR w.off_at IS NULL
                   AND (w.rest_until IS NULL OR w.rest_until <= :now))
            ORDER BY due.due_at, due.id
            LIMIT greatest(0, lane.free)
                  * CASE WHEN w.failures < :few THEN :long ELSE 1 END
              FOR NO KEY UPDATE SKIP LOCKED) d
     ORDER BY d.due_at, d.id LIMIT :most
    """
)
_SAVE = text(
    """
    UPDATE webhook_delivery d
       SET taken_until = NULL,
           tries = CASE WHEN r.is_tried THEN d.tries ELSE d.tries - 1 END,
           due_at = CASE WHEN r.is_tried THEN r.due_at ELSE :now END,
           tried_at = CASE WHEN r.is_tried THEN :now ELSE d.tried_at END,
           status = CASE WHEN r.is_tried THEN r.status ELSE d.status END,
           error = CASE WHEN r.is_tried THEN r.error ELSE d.error END,
           delivered_at = CASE WHEN r.is_tried AND r.error IS NULL
                               THEN CAST(:now AS timestamptz) END,
           parked_at = CASE WHEN r.is_tried AND r.error IS NOT NULL
                                 AND r.due_at IS NULL
                            THEN CAST(:now AS timestamptz) END
      FROM json_to_recordset(CAST(:rows AS json)) AS r (
           id uuid, tries int, is_tried boolean, status int, error text,
           due_at timestamptz)
     WHERE d.id = r.id AND d.tries = r.tries AND d.taken_until IS NOT NULL
    """
)
_WELL = text(
    """
    UPDATE webhook SET failures = 0, rest_until = NULL, off_at = NULL, off_reason = NULL
     WHERE id = :id AND (failures > 0 OR off_at IS NOT NULL)
    """
)
_REST = text(
    """
    UPDATE webhook SET failures = failures + 1, rest_until = :until WHERE id = :id
    """
)
_GONE = text(
    """
    UPDATE webhook SET off_at = :now, off_reason = :reason
     WHERE id = :id AND off_at IS NULL
    """
)
_PARK = text(
    """
    UPDATE webhook_delivery SET due_at = NULL, parked_at = :now
     WHERE webhook_id = :id AND due_at IS NOT NULL AND taken_until IS NULL
    """
)
